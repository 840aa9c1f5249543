import numpy as np
import pytest

from segclr.classify import Labels, join_labels
from segclr.classify.labels import exact_ids
from segclr.errors import LabelError
from segclr.store.embeddings import EmbeddingTable

BIG = 2**63 + 1024


def table(segment_ids, node_ids):
    n = len(segment_ids)
    return EmbeddingTable(
        segment_ids=np.array(segment_ids, dtype=np.uint64),
        node_ids=node_ids,
        points_nm=np.zeros((n, 3)),
        parents=None,
        embeddings=np.zeros((n, 2)),
    )


def labels(segment_ids, classes, node_ids=None):
    return Labels(segment_ids=np.array(segment_ids, dtype=np.uint64), classes=classes, node_ids=node_ids)


def test_a_label_of_a_segment_holds_for_all_its_nodes_and_unlabelled_rows_are_counted():
    joined = join_labels(table([7, BIG, 7, 9], [0, 0, 1, 0]), labels([BIG, 7], ["soma", "axon"]))
    assert joined.rows.tolist() == [0, 1, 2]
    assert joined.classes.tolist() == ["axon", "soma", "axon"]
    assert joined.n_unlabelled == 1


def test_a_label_of_a_node_holds_for_that_node_alone():
    joined = join_labels(table([7, 7, BIG], [0, 1, 1]), labels([BIG, 7], ["soma", "axon"], [1, 1]))
    assert joined.rows.tolist() == [1, 2]
    assert joined.classes.tolist() == ["axon", "soma"]
    assert joined.n_unlabelled == 1


def test_ids_that_differ_below_float_precision_are_told_apart():
    joined = join_labels(table([BIG, BIG + 1], [0, 0]), labels([BIG + 1], ["soma"]))
    assert joined.rows.tolist() == [1]


def test_join_equals_a_dictionary_lookup():
    rng = np.random.default_rng(0)
    segments = rng.integers(2**63, 2**63 + 20, 200, dtype=np.uint64)
    nodes = np.arange(200)
    chosen = rng.permutation(200)[:90]
    names = rng.choice(["a", "b", "c"], 90)
    want = {(int(segments[i]), i): str(c) for i, c in zip(chosen, names, strict=True)}
    joined = join_labels(table(segments, nodes), labels(segments[chosen], names, nodes[chosen]))
    got = {(int(segments[i]), int(i)): str(c) for i, c in zip(joined.rows, joined.classes, strict=True)}
    assert got == want


def test_labels_of_absent_segments_are_an_error_that_names_them():
    absent = labels([7, BIG + 5], ["axon", "soma"])
    with pytest.raises(LabelError, match=str(BIG + 5)):
        join_labels(table([7], [0]), absent)
    assert len(absent.within(np.array([7], dtype=np.uint64))) == 1


def test_labels_of_absent_nodes_are_an_error():
    with pytest.raises(LabelError, match="1 labelled nodes have no embedding"):
        join_labels(table([7], [0]), labels([7], ["axon"], [3]))


@pytest.mark.parametrize(
    ("segment_ids", "classes", "node_ids", "message"),
    [
        (np.array([1.0]), ["a"], None, "uint64, got float64"),
        (np.array([1], dtype=np.int64), ["a"], None, "uint64, got int64"),
        (np.array([1], dtype=np.uint64), ["a", "b"], None, "one length"),
        (np.array([1], dtype=np.uint64), [""], None, "empty"),
        (np.array([1, 1], dtype=np.uint64), ["a", "b"], None, "more than once: 1"),
        (np.array([1, 1], dtype=np.uint64), ["a", "b"], [4, 4], "more than once: 1"),
    ],
)
def test_damaged_labels_are_refused(segment_ids, classes, node_ids, message):
    with pytest.raises(LabelError, match=message):
        Labels(segment_ids=segment_ids, classes=classes, node_ids=node_ids)


def test_no_label_at_all_is_an_error():
    with pytest.raises(LabelError, match="no row has a label"):
        join_labels(table([7], [0]), labels([], []))


def test_node_ids_that_do_not_fit_are_refused_and_not_wrapped():
    for strange in (np.array([2**32 + 5]), np.array([-1]), np.array([1.7])):
        with pytest.raises(LabelError, match="node_ids of labels"):
            labels([7], ["axon"], strange)
    assert labels([7], ["axon"], np.array([2**32 - 1])).node_ids.tolist() == [2**32 - 1]


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_a_missing_class_is_no_class_of_its_own(missing):
    with pytest.raises(LabelError, match="1 rows; leave unlabelled"):
        labels([7, 8], np.array(["axon", missing], dtype=object))


def test_ids_pass_exactly_or_not_at_all():
    base = 864691135591041291
    cells = [base + j * 10**9 + k for j in range(100) for k in (0, 1)]
    every = labels(cells, ["axon"] * 200)
    assert every.within(cells[::2]).segment_ids.tolist() == cells[::2]
    with pytest.raises(LabelError, match="int64"):
        every.within(np.array(cells[::2]))
    with pytest.raises(LabelError, match="whole numbers"):
        every.within([1.0])
    assert exact_ids([0, 2**64 - 1]).tolist() == [0, 2**64 - 1]
    with pytest.raises(LabelError, match="whole numbers"):
        exact_ids([2**64])
