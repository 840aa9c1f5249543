import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from segclr.classify import LinearClassifier, ResNetClassifier, Split, leave_one_class_out, split_by_segment
from segclr.errors import LabelError

SMALL = ResNetClassifier(width=32, n_features=256, epochs=60, likelihood="gaussian", device="cpu")


def tissue(*, n_cells=60, rows=8, seed=0):
    """Four classes; the fourth lies far from all others, the third between the first two."""
    rng = np.random.default_rng(seed)
    cells = np.repeat(np.arange(n_cells, dtype=np.uint64), rows)
    kind = (cells % np.uint64(4)).astype(int)
    centres = np.zeros((4, 8))
    centres[0, 0], centres[1, 0], centres[3, 1] = -3, 3, 40
    X = centres[kind] + rng.standard_normal((len(cells), 8))
    y = np.array(["axon", "dendrite", "glia", "soma"])[kind]
    return X, y, cells + np.uint64(2**63), split_by_segment(cells, y, test_share=0.4, seed=0)


def test_the_class_is_neither_fitted_nor_missed_among_the_test_rows(monkeypatch):
    X, y, cells, split = tissue()
    seen, original = [], LinearClassifier.fit

    def record(self, X, y, groups=None):
        seen.append((set(y.tolist()), set(groups.tolist())))
        return original(self, X, y, groups)

    monkeypatch.setattr(LinearClassifier, "fit", record)
    model = LinearClassifier(C=1.0)
    found = leave_one_class_out(model, X, y, cells, split)
    assert [each.left_out for each in found] == ["axon", "dendrite", "glia", "soma"]
    for each, (classes, groups) in zip(found, seen, strict=True):
        assert classes == set(y.tolist()) - {each.left_out} == set(each.known.labels)
        assert not groups & set(cells[split.test].tolist())
        assert each.n_train == (y[split.train] != each.left_out).sum()
        assert each.detection.n_unknown == (y[split.test] == each.left_out).sum()
        assert each.known.n == each.detection.n_known
    assert not hasattr(model, "classes_")


def test_one_class_equals_fitting_and_scoring_it_by_hand():
    X, y, cells, split = tissue()
    (found,) = leave_one_class_out(LinearClassifier(C=1.0), X, y, cells, split, left_out=["glia"])
    rows = split.train[y[split.train] != "glia"]
    model = LinearClassifier(C=1.0).fit(X[rows], y[rows], cells[rows])
    uncertainty = model.uncertainty(X[split.test])
    assert found.detection.auroc == roc_auc_score(y[split.test] == "glia", uncertainty)
    low, high = found.detection.auroc_interval
    assert low <= found.detection.auroc <= high


def test_a_class_far_from_all_others_is_found_by_distance_and_not_by_a_line():
    X, y, cells, split = tissue()
    (by_distance,) = leave_one_class_out(SMALL, X, y, cells, split, left_out=["soma"])
    (by_line,) = leave_one_class_out(LinearClassifier(C=1.0), X, y, cells, split, left_out=["soma"])
    assert by_distance.detection.auroc > 0.95
    assert by_distance.detection.auroc > by_line.detection.auroc + 0.1
    assert by_distance.known.macro_f1 > 0.8


def test_what_cannot_be_left_out_is_refused():
    X, y, cells, split = tissue()
    with pytest.raises(LabelError, match="without test rows: neuron"):
        leave_one_class_out(LinearClassifier(), X, y, cells, split, left_out=["neuron"])
    two = np.where(y == "axon", "axon", "dendrite")
    with pytest.raises(LabelError, match="takes three classes or more"):
        leave_one_class_out(LinearClassifier(), X, two, cells, split)
    leaking = Split(train=np.arange(len(y)), test=split.test)
    with pytest.raises(LabelError, match="both sides"):
        leave_one_class_out(LinearClassifier(), X, y, cells, leaking)
