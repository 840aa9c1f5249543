import pytest

from segclr.errors import DataError
from segclr.plan import Range, Row
from segclr.view import figure_core_hours

ROWS = [
    Row("work", "nodes", "nodes", Range.exact(1000), "metadata"),
    Row("time", "nodes_core_hours", "core-h", Range(1.0, 2.0, 4.0), "rate"),
    Row("time", "embed_but_encode_core_hours", "core-h", Range.exact(0), "rate"),
    Row("time", "encode_core_hours", "core-h", Range(100.0, 300.0, 900.0), "rate"),
    Row("time", "core_hours", "core-h", Range(101.0, 302.0, 904.0), "sum"),
    Row("time", "core_hours_beside_gpu", "core-h", Range.exact(2), "sum"),
    Row("time", "gpu_hours", "GPU-h", None, "not measured"),
]


def test_every_stage_that_takes_time_has_a_point_at_its_expected_hours():
    axes = figure_core_hours(ROWS).axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["nodes", "encode"]
    assert axes.lines[0].get_xydata().tolist() == [[2, 0], [300, 1]]
    assert [text.get_text() for text in axes.texts] == ["2", "300"]
    ends = [tuple(line[:, 0]) for line in axes.collections[0].get_segments()]
    assert ends == [(1, 4), (100, 900)]
    assert (axes.get_xlabel(), axes.get_xscale()) == ("core-hours", "log")


def test_a_plan_without_hours_is_refused():
    with pytest.raises(DataError, match="none of 1 rows"):
        figure_core_hours(ROWS[:1])
