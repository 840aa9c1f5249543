import json

import numpy as np
import pytest

from segclr.classify import LinearClassifier, Split, draw_labelled, evaluate, label_sweep, split_by_segment
from segclr.errors import ConfigError, LabelError

BIG = np.uint64(2**63)


def tissue(*, n_cells=40, rows=12, seed=0):
    """Cells with nodes of two classes, and some of a third that is rare."""
    rng = np.random.default_rng(seed)
    cells = np.repeat(np.arange(n_cells, dtype=np.uint64), rows)
    kind = rng.choice(3, len(cells), p=[0.55, 0.4, 0.05])
    kind[::rows] = np.where(np.arange(n_cells) % 4 == 0, 2, kind[::rows])
    X = 1.2 * np.eye(3, 6)[kind] + rng.standard_normal((len(cells), 6))
    y = np.array(["axon", "dendrite", "soma"])[kind]
    return X, y, cells + BIG, split_by_segment(cells, y, test_share=0.4, seed=0)


def test_a_row_equals_fitting_and_judging_its_subsample_by_hand():
    X, y, cells, split = tissue()
    model = LinearClassifier(C=1.0)
    found = label_sweep(model, X, y, cells, split, n_labels=[3, 30, 10**6], repeats=2, seed=5)
    all_rows = len(split.train)
    assert [(row.n_labels, row.repeat) for row in found] == [(3, 0), (3, 1), (30, 0), (30, 1), (all_rows, 0)]
    assert [row.with_groups for row in found] == [False, False, True, True, True]
    row = found[3]
    train = split.train[draw_labelled(y[split.train], n=30, seed=6, groups=cells[split.train])]
    fitted = LinearClassifier(C=1.0).fit(X[train], y[train], cells[train])
    wanted = evaluate(
        y[split.test], fitted.predict(X[split.test]), np.unique(y), groups=cells[split.test], seed=5
    )
    assert row.evaluation.to_dict() == wanted.to_dict()
    assert row.n_cells == len(np.unique(cells[train]))
    plain = json.loads(json.dumps(row.to_dict()))
    assert (plain["n_labels"], plain["n_cells"], plain["n_test_cells"]) == (30, row.n_cells, wanted.n_cells)
    assert plain["macro_f1"] == wanted.macro_f1
    assert not hasattr(model, "classes_")


def test_more_labels_are_better_on_average():
    X, y, cells, split = tissue()
    model = LinearClassifier(C=1.0, calibrate=False)
    found = label_sweep(model, X, y, cells, split, n_labels=[6, 200], repeats=5)
    score = {n: np.mean([r.evaluation.macro_f1 for r in found if r.n_labels == n]) for n in (6, 200)}
    assert score[200] > score[6]


def test_what_cannot_be_swept_is_refused():
    X, y, cells, split = tissue()
    model = LinearClassifier(C=1.0)
    for wrong in ({"n_labels": []}, {"n_labels": [10], "repeats": 0}):
        with pytest.raises(ConfigError, match="one repeat and one number of labels or more"):
            label_sweep(model, X, y, cells, split, **wrong)
    with pytest.raises(LabelError, match="2 labels cannot show 3 classes"):
        label_sweep(model, X, y, cells, split, n_labels=[2])
    with pytest.raises(LabelError, match="both sides"):
        label_sweep(model, X, y, cells, Split(train=split.test, test=split.test), n_labels=[10])
    rare = split.train[y[split.train] != "soma"]
    with pytest.raises(LabelError, match="test rows of class soma, of which there is no training row"):
        label_sweep(model, X, y, cells, Split(train=rare, test=split.test), n_labels=[10])
