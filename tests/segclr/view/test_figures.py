import numpy as np
import pytest
from matplotlib import _pylab_helpers
from matplotlib.container import ErrorbarContainer

from segclr.classify import RetrievalResult, evaluate
from segclr.errors import DataError
from segclr.explore import UmapProjection, project
from segclr.view import (
    OTHER,
    Score,
    ScoreCurve,
    SliceView,
    confusion_columns,
    curve_columns,
    embedding_columns,
    figure_confusions,
    figure_cubes,
    figure_embedding,
    figure_f1_against_radius,
    figure_retrieval,
    figure_scores,
    figure_section,
    figure_slices,
    retrieval_columns,
    score_columns,
)
from segclr.view.style import BASELINE, class_colours, png_bytes, round_length_nm

RNG = np.random.default_rng(0)
EM = RNG.integers(0, 255, (20, 30)).astype(np.uint8)
IDS = np.array([0, 2**64 - 1, 2**53 + 1, 2**53], dtype=np.uint64)[np.arange(600).reshape(20, 30) // 150]
CLASSES = np.array(["axon", "soma", "glia"])[RNG.integers(0, 3, 90)]
PROJECTIONS = {name: project(RNG.standard_normal((90, 5)), seed=0) for name in ("untrained", "trained")}
EVALUATIONS = {"trained": evaluate(["a", "a", "b"], ["a", "unknown", "a"], ["a", "b"])}
CURVES = [
    ScoreCurve(name="trained, path", radius_um=(0, 5), score=(0.5, 0.7), intervals=((0.45, 0.6), None)),
    ScoreCurve(name="untrained, path", radius_um=(0, 5), score=(0.3, 0.4), is_baseline=True),
]
SCORES = [
    Score(task=task, method=method, value=value, interval=(0.9 * value, 0.95 * value + 0.05))
    for task in ("compartments", "cell types")
    for method, value in (("untrained", 0.4), ("trained", 1.0), ("forest", 0.0))
]
RESULTS = {
    name: [
        RetrievalResult(
            share=share,
            chance=0.2,
            ceiling=1.0,
            n_queries=90,
            n_without_candidates=2,
            n_segments=5,
            n_query_segments=5,
            share_interval=(share - 0.1, share + 0.05),
            exclusion_nm=exclusion,
        )
        for exclusion in (400.0, 1000.0)
    ]
    for name, share in (("untrained", 0.3), ("trained", 0.6))
}


def view(**changes):
    values = {
        "em_yx": EM,
        "mask_yx": np.eye(20, 30, dtype=bool),
        "pixel_nm": (32.0, 40.0),
        "title": "soma",
    }
    return SliceView(**(values | changes))


FIGURES = {
    "section": lambda: figure_section(EM, IDS, pixel_nm=(32, 40)),
    "slices": lambda: figure_slices([view() for _ in range(5)]),
    "cubes": lambda: figure_cubes(
        np.zeros((2, 9, 9, 9), np.uint8), voxel_size_nm=(32, 32, 40), titles=["a", "b"]
    ),
    "embedding": lambda: figure_embedding(PROJECTIONS, classes=CLASSES),
    "confusions": lambda: figure_confusions(EVALUATIONS),
    "radius": lambda: figure_f1_against_radius(CURVES),
    "scores": lambda: figure_scores(SCORES),
    "retrieval": lambda: figure_retrieval(RESULTS),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_drawn_the_same_twice_and_leaves_no_global_state(name):
    assert png_bytes(FIGURES[name](), dpi=50) == png_bytes(FIGURES[name](), dpi=50)
    assert _pylab_helpers.Gcf.figs == {}


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_is_cut_off_at_the_border(name):
    figure = FIGURES[name]()
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    for part in (*figure.axes, *figure.legends):
        extent = part.get_tightbbox(renderer)
        assert extent.x0 >= -1
        assert extent.y0 >= -1
        assert extent.x1 <= figure.bbox.x1 + 1
        assert extent.y1 <= figure.bbox.y1 + 1


@pytest.mark.parametrize("name", ["radius", "scores", "retrieval"])
def test_scores_are_shown_on_the_whole_scale_from_zero_to_one(name):
    axes = FIGURES[name]().axes[0]
    assert axes.get_ylim() == (0, 1)
    assert axes.get_ylabel()


def test_bars_stand_at_the_values_given():
    bars = [patch.get_height() for patch in figure_scores(SCORES).axes[0].patches]
    assert sorted(bars) == sorted(score.value for score in SCORES)


def bounds(axes):
    """Both ends of every error bar that is drawn."""
    bars = [c.lines[2][0] for c in axes.containers if isinstance(c, ErrorbarContainer)]
    segments = [np.asarray(s) for bar in bars for s in bar.get_segments()]
    return sorted(tuple(s[:, 1].round(6).tolist()) for s in segments if s.ndim == 2 and np.isfinite(s).all())


def test_error_bars_reach_from_the_lower_to_the_upper_bound_even_past_the_score():
    scores = [Score(task="t", method=m, value=0.5, interval=i) for m, i in
              (("a", (0.3, 0.6)), ("b", (0.2, 0.4)), ("c", None))]  # fmt: skip
    assert bounds(figure_scores(scores).axes[0]) == [(0.2, 0.4), (0.3, 0.6)]
    assert bounds(figure_f1_against_radius(CURVES).axes[0]) == [(0.45, 0.6)]
    assert bounds(figure_retrieval(RESULTS).axes[0]) == [(0.2, 0.35)] * 2 + [(0.5, 0.65)] * 2


def test_bounds_are_among_the_numbers_behind_a_figure():
    assert curve_columns(CURVES)["low"][:1] == [0.45]
    assert np.isnan(curve_columns(CURVES)["high"][1:]).all()
    assert retrieval_columns(RESULTS)["share_high"] == pytest.approx([0.35, 0.35, 0.65, 0.65])


def test_a_class_without_a_true_row_has_dashes_and_no_share():
    axes = figure_confusions({"t": evaluate(["a", "a"], ["a", "b"], ["a", "b"])}).axes[0]
    assert [t.get_text() for t in axes.texts] == ["50 %\n1", "50 %\n1", "–", "–"]
    assert np.ma.getmaskarray(axes.images[0].get_array()).tolist() == [[False, False], [True, True]]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["a (n = 2)", "b (n = 0)"]


def test_a_collapsed_encoder_is_drawn_and_its_axes_say_so():
    flat = project(np.ones((90, 5)), seed=0)
    figure = figure_embedding({"trained": flat}, classes=CLASSES)
    png_bytes(figure, dpi=50)
    assert figure.axes[0].get_xlabel() == "PC 1 (no variance)"


def test_a_layout_without_units_has_no_numbers_on_its_axes():
    layout = UmapProjection(
        coordinates=RNG.standard_normal((90, 2)).astype(np.float32), fitted=np.ones(90, dtype=bool)
    )
    pca, umap = figure_embedding({"PCA": PROJECTIONS["trained"], "UMAP": layout}, classes=CLASSES).axes
    assert (umap.get_xlabel(), umap.get_ylabel()) == ("UMAP 1", "UMAP 2")
    assert len(umap.get_xticks()) == len(umap.get_yticks()) == 0
    assert len(pca.get_xticks()) > 0
    drawn = np.concatenate([c.get_offsets() for c in umap.collections])
    np.testing.assert_array_equal(np.sort(drawn, axis=0), np.sort(layout.coordinates, axis=0))


def test_points_without_a_class_are_grey_and_first_in_the_legend():
    figure = figure_embedding(PROJECTIONS, classes=np.where(CLASSES == "axon", OTHER, CLASSES))
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["other", "glia", "soma"]
    assert figure.legends[0].legend_handles[0].get_color() == BASELINE


def test_retrieval_draws_chance_beside_both_encoders():
    figure = figure_retrieval(RESULTS)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["chance", "untrained", "trained"]
    assert sorted(p.get_height() for p in figure.axes[0].patches) == [0.2, 0.2, 0.3, 0.3, 0.6, 0.6]


def test_axes_name_their_units():
    assert figure_f1_against_radius(CURVES).axes[0].get_xlabel() == "aggregation radius (µm)"


def test_a_confusion_matrix_shows_what_was_called_unknown():
    axes = figure_confusions(EVALUATIONS).axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["a", "b", "unknown"]
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.5, 0, 0.5], [1, 0, 0]])


def test_cubes_show_their_central_slices_with_the_voxels_proportions():
    cube = RNG.integers(0, 255, (5, 7, 9)).astype(np.uint8)
    figure = figure_cubes(cube[None], voxel_size_nm=(10, 20, 40), titles=["a"])
    shown = [np.asarray(axes.images[0].get_array()) for axes in figure.axes]
    for image, want in zip(shown, (cube[2], cube[:, 3], cube[:, :, 4]), strict=True):
        np.testing.assert_array_equal(image, want)
    assert [axes.get_aspect() for axes in figure.axes] == [2, 4, 2]


def test_cubes_of_several_sizes_each_have_a_scale_bar():
    cubes = [np.zeros((n, n, n), np.uint8) for n in (40, 20)]
    mixed = figure_cubes(cubes, voxel_size_nm=(50, 50, 50), titles=["a", "b"])
    assert [axes.texts[0].get_text() for axes in mixed.axes[:2]] == ["500 nm", "200 nm"]
    same = figure_cubes([cubes[0]] * 2, voxel_size_nm=(50, 50, 50), titles=["a", "b"])
    assert [len(axes.texts) for axes in same.axes[:2]] == [1, 0]


def test_a_section_parts_segments_and_leaves_what_is_none_uncoloured():
    plain, coloured = figure_section(EM, IDS, pixel_nm=(32, 40)).axes
    tint = np.asarray(coloured.images[1].get_array())
    for image in (plain.images[0], coloured.images[0]):
        np.testing.assert_array_equal(image.get_array(), EM)
    borders = np.zeros(EM.shape, dtype=bool)
    borders[1:] = IDS[1:] != IDS[:-1]
    np.testing.assert_array_equal((tint[..., :3] == 1).all(axis=-1), borders)
    assert (tint[(IDS == 0) & ~borders][:, 3] == 0).all()
    inside = [tint[(i == IDS) & ~borders] for i in np.unique(IDS)[1:]]
    assert len({tuple(np.unique(t[:, :3], axis=0).ravel()) for t in inside}) == 3
    assert coloured.get_aspect() == 40 / 32


@pytest.mark.parametrize(("width_nm", "length_nm"), [(4000, 1000), (960, 200), (30, 10), (6000, 2000)])
def test_scale_bars_have_round_lengths(width_nm, length_nm):
    assert round_length_nm(width_nm) == pytest.approx(length_nm)


def test_classes_beyond_the_palette_still_differ_in_colour_or_marker():
    styles = class_colours([str(i) for i in range(30)])
    assert len(set(styles.values())) == 30


@pytest.mark.parametrize(
    ("columns", "n_rows"),
    [
        (embedding_columns(PROJECTIONS, classes=CLASSES), 180),
        (confusion_columns(EVALUATIONS), 6),
        (curve_columns(CURVES), 4),
        (score_columns(SCORES), 6),
        (retrieval_columns(RESULTS), 4),
    ],
)
def test_the_numbers_behind_a_figure_are_columns_of_one_length(columns, n_rows):
    assert {len(values) for values in columns.values()} == {n_rows}


def test_nothing_to_draw_or_shapes_that_differ_are_refused():
    for draw in (figure_slices, figure_f1_against_radius, figure_scores):
        with pytest.raises(DataError, match="no "):
            draw([])
    for draw in (figure_confusions, figure_retrieval):
        with pytest.raises(DataError, match="no "):
            draw({})
    with pytest.raises(DataError, match="one shape"):
        view(mask_yx=np.ones((3, 3), dtype=bool))
    with pytest.raises(DataError, match="one title each"):
        figure_cubes(np.zeros((2, 9, 9, 9), np.uint8), voxel_size_nm=(1, 1, 1), titles=[])
    with pytest.raises(DataError, match="of one shape"):
        figure_section(EM, IDS[1:], pixel_nm=(32, 40))
    with pytest.raises(DataError, match="every panel"):
        figure_embedding(PROJECTIONS, classes=CLASSES[:-1])
    with pytest.raises(DataError, match="must match"):
        ScoreCurve(name="x", radius_um=(1,), score=(1, 2))
