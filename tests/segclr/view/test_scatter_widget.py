import sys

import numpy as np
import pytest

from segclr.errors import ConfigError, DataError
from segclr.store.embeddings import EmbeddingTable
from segclr.view import OTHER, scatter_widget

IDS = np.array([2**64 - 1, 2**53 + 1, 2**53 + 2, 7], dtype=np.uint64)
TABLE = EmbeddingTable(
    segment_ids=IDS,
    node_ids=np.array([0, 1, 2, 3], dtype=np.uint32),
    points_nm=np.arange(12, dtype=np.float32).reshape(4, 3) * 1000,
    parents=None,
    embeddings=np.zeros((4, 2), dtype=np.float32),
)
COORDINATES = np.arange(12, dtype=np.float32).reshape(4, 3)
CLASSES = np.array(["axon", "axon", OTHER, "soma"])


@pytest.mark.parametrize("n", [2, 3])
def test_every_node_is_a_point_of_its_class_at_its_coordinates(n):
    figure = scatter_widget(COORDINATES[:, :n], table=TABLE, classes=CLASSES, axes="UMAP")
    assert [trace.name for trace in figure.data] == [OTHER, "axon", "soma"]
    for trace in figure.data:
        shown = np.stack([trace[axis] for axis in "xyz"[:n]], axis=1)
        np.testing.assert_array_equal(shown, COORDINATES[trace.name == CLASSES][:, :n])
    assert "UMAP 2" in figure.to_json()


def test_ids_are_told_exactly_and_places_in_nm():
    traces = scatter_widget(COORDINATES, table=TABLE, classes=CLASSES).data
    texts = {text for trace in traces for text in trace.text}
    assert {text.split("<br>")[0] for text in texts} == {f"segment {i}" for i in IDS.tolist()}
    assert "segment 7<br>node 3<br>9,000, 10,000, 11,000 nm (x, y, z)" in texts


def test_lengths_that_differ_are_refused():
    with pytest.raises(DataError, match="two or three coordinates and a class"):
        scatter_widget(COORDINATES[:, :1], table=TABLE, classes=CLASSES)
    with pytest.raises(DataError, match="two or three coordinates and a class"):
        scatter_widget(COORDINATES, table=TABLE, classes=CLASSES[:2])


def test_without_plotly_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(ConfigError, match=r"segclr\[viz\]"):
        scatter_widget(COORDINATES, table=TABLE, classes=CLASSES)
