import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from segclr.classify import evaluate
from segclr.errors import LabelError

CLASSES = ("soma", "axon", "glia")


@settings(max_examples=100, deadline=None)
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


def test_survives_json():
    got = evaluate(["a", "b"], ["a", "unknown"])
    assert json.loads(json.dumps(got.to_dict())) == got.to_dict()


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
