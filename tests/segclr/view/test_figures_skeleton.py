import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection

from segclr.errors import DataError
from segclr.store.embeddings import EmbeddingTable
from segclr.view import OTHER, figure_edge_scores, figure_skeletons
from segclr.view.style import BASELINE, png_bytes

# Two cells whose ids differ by one above 2**53; rows are mixed, and node ids of one are those of the other.
ID = 2**64 - 2
TABLE = EmbeddingTable(
    segment_ids=np.array([ID, ID + 1, ID, ID + 1, ID], dtype=np.uint64),
    node_ids=np.array([0, 1, 2, 0, 1], dtype=np.uint32),
    points_nm=np.array([[0, 0, 0], [5, 1, 0], [2, 2, 1], [5, 0, 0], [1, 1, 0]], dtype=np.float32) * 1000,
    parents=np.array([-1, 0, 1, -1, 0], dtype=np.int32),
    embeddings=np.zeros((5, 4), dtype=np.float32),
)
EDGES_UM = {((5, 1), (5, 0)), ((2, 2), (1, 1)), ((1, 1), (0, 0))}


def segments(axes):
    lines = next(c for c in axes.collections if isinstance(c, LineCollection))
    return {tuple(tuple(point) for point in line) for line in lines.get_segments()}


def test_edges_join_nodes_of_one_segment_in_micrometres():
    figure = figure_skeletons(TABLE, classes=np.array(["a"] * 5))
    assert segments(figure.axes[0]) == EDGES_UM
    assert [axes.get_ylabel() for axes in figure.axes] == ["y (µm)", "z (µm)"]
    assert all(axes.yaxis_inverted() for axes in figure.axes)


def test_every_node_is_drawn_once_in_the_colour_of_its_class():
    figure = figure_skeletons(TABLE, classes=np.array(["a", "b", OTHER, "b", "a"]))
    drawn = [c.get_offsets() for c in figure.axes[0].collections if isinstance(c, PathCollection)]
    assert [len(points) for points in drawn] == [1, 2, 2]
    everywhere = np.sort(TABLE.points_nm[:, :2] / 1000, axis=0)
    np.testing.assert_array_equal(np.sort(np.concatenate(drawn), axis=0), everywhere)
    legend = figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == [OTHER, "a", "b"]
    assert legend.legend_handles[0].get_color() == BASELINE


def test_each_edge_has_its_score_and_a_marked_one_is_circled_in_its_middle():
    rows, scores = np.array([4, 2, 1]), np.array([0.5, 3.0, 1.0])
    figure = figure_edge_scores(TABLE, rows=rows, scores=scores, label="score", marked=[2])
    lines = next(c for c in figure.axes[0].collections if isinstance(c, LineCollection))
    shown = {
        tuple(line[0]): value for line, value in zip(lines.get_segments(), lines.get_array(), strict=True)
    }
    assert shown == {(1, 1): 0.5, (2, 2): 3.0, (5, 1): 1.0}
    assert figure.axes[0].lines[0].get_xydata().tolist() == [[1.5, 1.5]]


def test_a_figure_is_drawn_the_same_twice():
    draw = lambda: figure_skeletons(TABLE, classes=np.array(["a", "b", "a", "b", "a"]))  # noqa: E731
    assert png_bytes(draw(), dpi=50) == png_bytes(draw(), dpi=50)


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(DataError, match="needs a class"):
        figure_skeletons(TABLE, classes=np.array(["a"]))
    with pytest.raises(DataError, match=f"parents are not in the table, such as node 0 of segment {ID}"):
        figure_skeletons(TABLE.take(np.array([4])), classes=np.array(["a"]))
    with pytest.raises(DataError, match="needs a score and a parent"):
        figure_edge_scores(TABLE, rows=np.array([0]), scores=np.array([1.0]), label="score")
    with pytest.raises(DataError, match="needs a score and a parent"):
        figure_edge_scores(TABLE, rows=np.array([4]), scores=np.array([1.0, 2.0]), label="score")
