import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support

from segclr.classify import Evaluation, evaluate
from segclr.errors import LabelError

CLASSES = ("soma", "axon", "glia")


@settings(max_examples=100)
@given(st.lists(st.tuples(st.sampled_from(CLASSES), st.sampled_from(CLASSES)), min_size=1, max_size=40))
def test_equals_scikit_learns_metrics(pairs):
    y_true, y_pred = (list(side) for side in zip(*pairs, strict=True))
    got = evaluate(y_true, y_pred, CLASSES)
    precision, recall, f1, support = precision_recall_fscore_support(
        y_true, y_pred, labels=CLASSES, zero_division=0
    )
    np.testing.assert_array_equal(got.confusion, confusion_matrix(y_true, y_pred, labels=CLASSES))
    np.testing.assert_allclose(got.precision, precision)
    np.testing.assert_allclose(got.recall, recall)
    np.testing.assert_allclose(got.f1, f1)
    np.testing.assert_array_equal(got.support, support)
    assert got.macro_f1 == pytest.approx(f1[support > 0].mean())
    assert got.n == len(pairs)


def test_labels_default_to_the_classes_that_occur():
    assert evaluate(["b", "a"], ["b", "c"]).labels == ("a", "b", "c")


def test_unknown_counts_as_a_miss_and_stands_on_its_own():
    got = evaluate(["a", "a", "b", "b"], ["a", "unknown", "b", "b"])
    assert got.labels == ("a", "b")
    assert got.unknown.tolist() == [1, 0]
    assert got.recall.tolist() == [0.5, 1]
    assert got.precision.tolist() == [1, 1]
    assert got.f1.tolist() == [pytest.approx(2 / 3), 1]
    assert got.confusion.sum() + got.unknown.sum() == got.n


def test_a_class_without_a_true_row_is_named_and_not_averaged():
    got = evaluate(["a", "b"], ["a", "b"], ["a", "b", "c"])
    assert got.absent == ("c",)
    assert got.macro_f1 == 1.0


@pytest.mark.parametrize("groups", [None, np.array([1, 2], dtype=np.uint64), np.array([1, 1])])
def test_survives_json(groups):
    got = evaluate(["a", "b"], ["a", "unknown"], groups=groups)
    values = json.loads(json.dumps(got.to_dict()))
    assert values == got.to_dict()
    assert Evaluation.from_dict(values | {"encoder": "trained"}).to_dict() == values


def cells(n=120, n_cells=9):
    """Rows of cells with ids above 2**53; a class may be missing from most cells."""
    rng = np.random.default_rng(4)
    groups = rng.integers(2**63, 2**63 + n_cells, n, dtype=np.uint64)
    truth = np.where(groups % np.uint64(4) == 0, "soma", np.array(CLASSES)[rng.integers(0, 2, n)])
    guess = np.where(rng.random(n) < 0.6, truth, np.array([*CLASSES, "unknown"])[rng.integers(0, 4, n)])
    return truth, guess, groups


def test_the_interval_equals_judging_the_rows_of_every_draw_of_cells_anew():
    truth, guess, groups = cells()
    got = evaluate(truth, guess, [*CLASSES, "none"], groups=groups, seed=5)
    ids, rng, scores = np.unique(groups), np.random.default_rng(5), []
    for _ in range(200):
        drawn = ids[rng.integers(len(ids), size=len(ids))]
        rows = np.concatenate([np.flatnonzero(groups == i) for i in drawn])
        scores.append(f1_score(truth[rows], guess[rows], labels=np.unique(truth[rows]), average="macro"))
    assert got.macro_f1_interval == pytest.approx(np.percentile(scores, [2.5, 97.5]))
    assert got.macro_f1_interval[0] < got.macro_f1 < got.macro_f1_interval[1]


def test_cells_are_counted_for_each_class():
    truth, guess, groups = cells()
    got = evaluate(truth, guess, [*CLASSES, "none"], groups=groups)
    assert got.n_cells == len(set(groups.tolist())) == 9
    want = [len(set(groups[truth == name].tolist())) for name in (*CLASSES, "none")]
    assert got.cells_per_class.tolist() == want


def test_the_order_of_rows_does_not_move_the_interval():
    truth, guess, groups = cells()
    order = np.random.default_rng(0).permutation(len(truth))
    one = evaluate(truth, guess, groups=groups)
    two = evaluate(truth[order], guess[order], groups=groups[order])
    assert one.macro_f1_interval == two.macro_f1_interval


def test_without_groups_or_with_one_cell_no_interval_is_claimed():
    assert evaluate(["a", "b"], ["a", "b"]).macro_f1_interval is None
    assert evaluate(["a", "b"], ["a", "b"], groups=np.array([1, 1])).macro_f1_interval is None
    with pytest.raises(LabelError, match="cell of each of 2 rows"):
        evaluate(["a", "b"], ["a", "b"], groups=np.array([1]))


@pytest.mark.parametrize(
    ("y_true", "y_pred", "labels"),
    [
        (["a"], ["a", "b"], None),
        ([], [], None),
        (["a"], ["z"], ["a", "b"]),
        (["a"], ["a"], ["a", "a"]),
        (["unknown"], ["a"], None),
    ],
)
def test_what_cannot_be_judged_is_refused(y_true, y_pred, labels):
    with pytest.raises(LabelError):
        evaluate(y_true, y_pred, labels)
