import re

import numpy as np
import pytest

from segclr.errors import DataError
from segclr.view.points import (
    NodePoints,
    colour_by_class,
    colour_by_components,
    colour_by_number,
    colour_by_segment,
)
from segclr.view.style import BASELINE


def looks(colouring):
    return [(entry.colours, entry.ringed) for entry in colouring.legend]


def controls(colouring):
    return re.findall(
        r"^#uicontrol vec3 (\w+) color\(default=\"(#\w{6})\"\)$", colouring.shader, re.MULTILINE
    )


def test_every_class_has_a_look_of_its_own_and_its_points_that_class():
    names = [f"type {i:02d}" for i in np.random.default_rng(0).integers(0, 16, 400)]
    colouring = colour_by_class(names, title="class")
    (index,) = colouring.properties
    assert [index.labels[i] for i in index.values] == names
    assert len(set(looks(colouring))) == len(set(names)) == 16
    assert [c for _, c in controls(colouring)] == [entry.colours[0] for entry in colouring.legend]
    told = {entry.text for entry in colouring.legend}
    assert told == {f"{name} ({names.count(name)})" for name in set(names)}


def test_classes_that_say_none_are_grey_and_have_no_control():
    colouring = colour_by_class(["unknown", "axon", "unknown"], title="class", grey=("unknown", "noise"))
    assert {e.text: e.colours for e in colouring.legend}["unknown (2)"] == (BASELINE,)
    assert len(controls(colouring)) == 1


def test_the_rarest_of_too_many_classes_share_one_grey_and_are_counted():
    names = [f"c{i}" for i in range(20) for _ in range(i + 1)]
    colouring = colour_by_class(names, title="cluster")
    assert len(controls(colouring)) == 16
    assert colouring.legend[-1].colours == (BASELINE,)
    assert colouring.legend[-1].text == "4 rarer ones (10)"


def test_names_of_classes_cannot_write_into_the_shader_or_the_terminal():
    vicious = ['x") discard; //', "a\nvoid main() {}", "a b", "a-b", "\x1b[2J", "", "é", "}" * 100, "\u202e"]
    colouring = colour_by_class(vicious, title="class")
    plain = colour_by_class([f"n{i}" for i in range(len(vicious))], title="class")
    assert len(set(controls(colouring))) == len(vicious)
    assert re.sub(r"c\d_\w*", "NAME", colouring.shader) == re.sub(r"c\d_\w*", "NAME", plain.shader)
    assert all(
        text.isprintable() for text in (*colouring.properties[0].labels, *(e.text for e in colouring.legend))
    )


def test_segments_take_their_looks_by_turns_and_one_segment_has_one():
    ids = np.random.default_rng(0).permutation(
        np.repeat(np.arange(2**64 - 40, 2**64 - 1, dtype=np.uint64), 3)
    )
    (look,) = colour_by_segment(ids).properties
    for segment_id in np.unique(ids):
        assert len(set(look.values[ids == segment_id])) == 1
    assert set(look.values) == set(range(16))


def test_numbers_run_over_the_middle_of_their_values():
    values = np.r_[np.linspace(0, 1, 1001), 1e6]
    colouring = colour_by_number(values, name="uncertainty", title="uncertainty (linear)")
    low, high = (float(v) for v in re.search(r"range=\[(\S+), (\S+)\]", colouring.shader).groups())
    assert low == pytest.approx(0.01, abs=2e-3)
    assert high == pytest.approx(0.99, abs=2e-3)
    assert "uncertainty (linear)" in colouring.legend[0].text


def test_equal_numbers_have_a_range_all_the_same():
    shader = colour_by_number(np.full(5, 0.25), name="uncertainty", title="u").shader
    assert "range=[-0.25, 0.75]" in shader


def test_numbers_that_are_none_are_refused():
    with pytest.raises(DataError, match="1 of 2 points have no finite uncertainty"):
        colour_by_number(np.array([0.1, np.nan]), name="uncertainty", title="uncertainty")
    with pytest.raises(DataError, match="no finite component"):
        colour_by_components(np.array([[0.1, np.inf]]), shares=(1.0, 0.0))


def test_components_are_shown_as_they_are_by_number_and_share():
    coordinates = np.random.default_rng(0).normal(size=(500, 3))
    colouring = colour_by_components(coordinates, shares=(0.9, 0.1, 0.0))
    assert [p.name for p in colouring.properties] == ["pc1", "pc2", "pc3"]
    for number, shown in enumerate(colouring.properties):
        np.testing.assert_allclose(shown.values, coordinates[:, number], rtol=1e-6)
    assert "pc1 90%, pc2 10%, pc3 0%" in colouring.legend[0].text


@pytest.mark.parametrize("ids", [np.zeros(0, np.uint64), np.ones(2, np.int64), np.ones(3, np.uint64)])
def test_points_that_do_not_fit_together_are_refused(ids):
    with pytest.raises(DataError, match="points need"):
        NodePoints(
            segment_ids=ids,
            node_ids=np.arange(2, dtype=np.uint32),
            points_nm=np.zeros((2, 3), np.float32),
            colouring=colour_by_class(["a", "b"], title="class"),
        )
