"""The figure and the sentence of the training curve."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib import _pylab_helpers

from segclr.errors import DataError
from segclr.view import TrainingCurve, figure_training, read_training, training_columns
from segclr.view.style import png_bytes

N = 5
CURVE = TrainingCurve(
    steps=np.arange(N) * 100,
    loss=np.array([np.nan, 5.0, 4.0, 3.0, 2.0]),
    top1=np.array([0.004, 0.006, 0.0, 0.016, 0.024]),
    top5=np.linspace(0.02, 0.09, N),
    outranked=np.linspace(0.6, 0.81, N),
    effective_rank=np.linspace(23.0, 12.0, N),
    dead_dimensions=np.linspace(0.0, 0.25, N),
    alignment=np.linspace(0.02, 0.12, N),
    uniformity=np.linspace(-0.05, -0.55, N),
    cosine_negative=np.linspace(0.98, 0.8, N),
    cosine_positive={"0 to 3 µm": np.linspace(0.99, 0.95, N), "3 to 6 µm": np.linspace(0.99, 0.9, N)},
    probe_macro_f1=np.array([0.4, np.nan, 0.6, np.nan, 0.7]),
    collapsed=np.zeros(N, dtype=bool),
    chance_top1=0.002,
    chance_top5=0.01,
    n_views=512,
    embedding_dim=64,
)
NOTHING = np.full(N, np.nan)
CURVES = {
    "all": CURVE,
    "no probe": replace(CURVE, probe_macro_f1=NOTHING),
    "collapsed": replace(CURVE, collapsed=np.array([False, False, True, True, False])),
    "an older version": replace(
        CURVE,
        top1=NOTHING,
        top5=NOTHING,
        outranked=NOTHING,
        dead_dimensions=NOTHING,
        cosine_negative=NOTHING,
        cosine_positive={"all": NOTHING},
        probe_macro_f1=NOTHING,
        chance_top1=np.nan,
        chance_top5=np.nan,
        n_views=0,
    ),
}


def panels(curve):
    return {axes.get_title(loc="left")[3:]: axes for axes in figure_training(curve).axes}


@pytest.mark.parametrize("name", CURVES)
def test_the_figure_is_drawn_the_same_twice_and_leaves_no_global_state(name):
    first, second = (png_bytes(figure_training(CURVES[name]), dpi=50) for _ in range(2))
    assert first == second
    assert _pylab_helpers.Gcf.figs == {}


@pytest.mark.parametrize("name", CURVES)
def test_no_text_is_cut_off_at_the_border(name):
    figure = figure_training(CURVES[name])
    figure.canvas.draw()
    for axes in figure.axes:
        extent = axes.get_tightbbox(figure.canvas.get_renderer())
        assert extent.x0 >= -1
        assert extent.y0 >= -1
        assert extent.x1 <= figure.bbox.x1 + 1
        assert extent.y1 <= figure.bbox.y1 + 1


def test_retrieval_is_on_a_log_axis_with_chance_and_a_zero_lies_on_its_floor():
    axes = panels(CURVE)["Held-out partner retrieved"]
    assert axes.get_yscale() == "log"
    drawn = {line.get_label(): line.get_ydata() for line in axes.lines}
    assert list(drawn["chance, top-1"]) == [0.002, 0.002]
    np.testing.assert_allclose(drawn["top-1"], [0.004, 0.006, 0.5 / 512, 0.016, 0.024])
    assert axes.get_ylim()[0] <= 0.5 / 512


def test_dimensions_in_use_are_the_effective_rank_and_those_that_are_not_dead():
    lines = {line.get_label(): line.get_ydata() for line in panels(CURVE)["Dimensions in use"].lines}
    np.testing.assert_allclose(lines["not dead"], np.linspace(64, 48, N))
    np.testing.assert_allclose(lines["effective rank"], CURVE.effective_rank)


def test_partners_by_distance_and_other_cells_are_drawn_in_different_colours():
    lines = panels(CURVE)["Similarity of embeddings"].lines
    assert [line.get_label() for line in lines] == [
        "0 to 3 µm",
        "3 to 6 µm",
        "other cells",
    ]
    assert len({str(line.get_color()) for line in lines}) == 3


def test_looks_with_a_warning_are_marked_in_every_panel():
    marks = {
        title: [
            line.get_xdata()[0]
            for line in axes.lines
            if line.get_linewidth() == 5  # the broad bars, nothing else
        ]
        for title, axes in panels(CURVES["collapsed"]).items()
    }
    assert len(marks) == 6
    assert set(map(tuple, marks.values())) == {(200, 300)}


def test_the_sentence_says_what_the_curve_says():
    assert read_training(CURVE) == (
        "Held-out retrieval (top-1) rose from 2.0 to 12.0 times chance; at the end a view's partner is "
        "nearer than 81 % of the views of other cells (50 % by chance); effective rank fell from 23.0 to "
        "12.0 of 64 dimensions; the linear probe's macro F1 rose from 0.40 to 0.70; no sign of collapse."
    )


def test_the_sentence_tells_collapse_and_whether_it_passed():
    assert "collapsing from step 200 on, and over by the last look." in read_training(CURVES["collapsed"])
    still = replace(CURVE, collapsed=np.array([False] * 3 + [True] * 2))
    assert read_training(still).endswith("the encoder was collapsing from step 300 on.")


def test_the_sentence_calls_a_small_change_none_and_names_what_is_missing():
    still = replace(CURVE, top1=np.array([0.004, 0.01, 0.01, 0.01, 0.0042]))
    assert "(top-1) stayed at 2.1 times chance" in read_training(still)
    assert read_training(CURVES["an older version"]).startswith(
        "Held-out retrieval was not recorded; effective"
    )


def test_the_numbers_hold_every_recorded_value_once():
    columns = training_columns(CURVE)
    assert {len(values) for values in columns.values()} == {12 * N - 3}
    where = columns["quantity"].index("cosine_positive, 3 to 6 µm")
    assert (columns["step"][where], columns["value"][where]) == (0, 0.99)


@pytest.mark.parametrize("changes", [{"top1": np.zeros(3)}, {"cosine_positive": {"all": np.zeros(2)}}])
def test_columns_of_other_lengths_are_refused(changes):
    with pytest.raises(DataError, match="as many values as steps"):
        replace(CURVE, **changes)
