import json

import numpy as np
import pytest

from segclr.classify import reliability
from segclr.errors import ConfigError, DataError, LabelError

CLASSES = np.array(["axon", "dendrite", "soma"])


def answers(*, n=400, n_cells=12, seed=0):
    """Probabilities, and true classes drawn from them; ids above 2**53."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet([0.5, 0.5, 0.5], n)
    kind = (rng.random((n, 1)) > p.cumsum(axis=1)).sum(axis=1).clip(max=2)
    return CLASSES[kind], p, rng.integers(2**63, 2**63 + n_cells, n, dtype=np.uint64)


def slow_ece(truth, p, n_bins):
    gaps = [[] for _ in range(n_bins)]
    for name, row in zip(truth, p, strict=True):
        sure = max(row)
        gaps[min(int(sure * n_bins), n_bins - 1)].append((CLASSES[list(row).index(sure)] == name) - sure)
    return sum(abs(sum(gap)) for gap in gaps) / len(truth)


@pytest.mark.parametrize("n_bins", [1, 7, 15])
def test_the_error_equals_a_loop_over_rows(n_bins):
    truth, p, _ = answers()
    got = reliability(truth, p, CLASSES, n_bins=n_bins)
    assert got.ece == pytest.approx(slow_ece(truth, p, n_bins))
    filled = got.n > 0
    assert got.n.sum() == len(truth)
    gap = np.abs(got.accuracy - got.confidence)[filled]
    assert got.ece == pytest.approx((got.n[filled] * gap).sum() / len(truth))
    within = (got.edges[:-1] <= got.confidence) & (got.confidence <= got.edges[1:])
    assert within[filled].all()
    assert np.isnan(got.confidence[~filled]).all()


def test_probabilities_that_classes_were_drawn_with_are_calibrated_and_sharpened_ones_are_not():
    truth, p, _ = answers(n=20_000)
    assert reliability(truth, p, CLASSES).ece < 0.02
    sharp = p**4 / (p**4).sum(axis=1, keepdims=True)
    assert reliability(truth, sharp, CLASSES).ece > 0.1


def test_certainty_that_is_always_right_or_always_wrong():
    p = np.eye(3)
    assert reliability(CLASSES, p, CLASSES).ece == 0
    assert reliability(CLASSES[[1, 2, 0]], p, CLASSES).ece == 1


def test_the_interval_equals_judging_the_rows_of_every_draw_of_cells_anew():
    truth, p, groups = answers()
    got = reliability(truth, p, CLASSES, groups=groups, seed=3)
    ids, rng, scores = np.unique(groups), np.random.default_rng(3), []
    for _ in range(200):
        drawn = ids[rng.integers(len(ids), size=len(ids))]
        rows = np.concatenate([np.flatnonzero(groups == i) for i in drawn])
        scores.append(reliability(truth[rows], p[rows], CLASSES).ece)
    assert got.ece_interval == pytest.approx(np.percentile(scores, [2.5, 97.5]))


def test_survives_json_with_empty_bins_as_none():
    truth, p, groups = answers(n=5)
    values = reliability(truth, p, CLASSES, groups=groups).to_dict()
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert None in values["accuracy"]


def test_what_cannot_be_judged_is_refused():
    truth, p, groups = answers(n=20)
    with pytest.raises(ConfigError, match="n_bins"):
        reliability(truth, p, CLASSES, n_bins=0)
    for wrong in (p * 2, p - 0.5, np.where(p == p.max(), np.nan, p)):
        with pytest.raises(DataError, match="sum to 1"):
            reliability(truth, wrong, CLASSES)
    with pytest.raises(LabelError, match="must be"):
        reliability(truth, p[:, :2], CLASSES)
    with pytest.raises(LabelError, match="must be"):
        reliability(truth, p, CLASSES, groups=groups[:-1])
    with pytest.raises(LabelError, match="without a probability: glia"):
        reliability(np.where(truth == "soma", "glia", truth), p, CLASSES)
