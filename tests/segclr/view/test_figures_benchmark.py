"""The figure of few labels shows means and extremes, and its table holds the numbers."""

import pytest

from segclr.errors import DataError
from segclr.view import LabelCurve, figure_label_efficiency, figure_reliability, label_columns
from segclr.view.style import png_bytes

LINE = LabelCurve(name="linear", n_labels=[10, 1000], scores=[[0.2, 0.4], [0.8, 0.9, 1.0]])
BASE = LabelCurve(name="untrained", n_labels=[1000], scores=[[0.25, 0.35]], is_baseline=True)


def test_points_are_means_with_bars_to_the_lowest_and_highest():
    axes = figure_label_efficiency([LINE, BASE]).axes[0]
    drawn = axes.containers[0]
    assert drawn.lines[0].get_ydata().tolist() == pytest.approx([0.3, 0.9])
    bars = [segment[:, 1].tolist() for segment in drawn.lines[2][0].get_segments()]
    assert bars == [pytest.approx([0.2, 0.4]), pytest.approx([0.8, 1.0])]
    assert axes.get_xscale() == "log"
    across = [line for line in axes.lines if line.get_label() == "untrained"]
    assert across[0].get_ydata()[0] == pytest.approx(0.3)


def test_columns_hold_what_is_drawn():
    columns = label_columns([LINE, BASE])
    assert columns["curve"] == ["linear", "linear", "untrained"]
    assert columns["n_scores"] == [2.0, 3.0, 2.0]
    assert columns["lowest"] == [0.2, 0.8, 0.25]


def test_equal_curves_give_equal_bytes():
    assert png_bytes(figure_label_efficiency([LINE])) == png_bytes(figure_label_efficiency([LINE]))


def test_a_number_of_labels_without_scores_is_refused():
    with pytest.raises(DataError, match="each number of labels needs its scores"):
        LabelCurve(name="x", n_labels=[10, 100], scores=[[0.1], []])
    with pytest.raises(DataError, match="no curve"):
        figure_label_efficiency([])


def test_reliability_is_drawn_against_the_diagonal():
    axes = figure_reliability({"as fitted": ([0.2, 0.9], [0.3, 0.6])}).axes[0]
    diagonal, curve = axes.lines
    assert diagonal.get_xydata().tolist() == [[0, 0], [1, 1]]
    assert curve.get_xydata().tolist() == [[0.2, 0.3], [0.9, 0.6]]
    with pytest.raises(DataError, match="no curve"):
        figure_reliability({})
