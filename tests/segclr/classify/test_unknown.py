import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from segclr.classify import detection
from segclr.errors import DataError, LabelError

ROWS = st.lists(st.tuples(st.integers(0, 10), st.booleans()), min_size=2, max_size=40).filter(
    lambda rows: len({unknown for _, unknown in rows}) == 2
)


@settings(max_examples=100)
@given(ROWS)
def test_every_metric_equals_its_definition_by_a_loop_over_pairs_and_thresholds(rows):
    values, unknown = (np.array(side) for side in zip(*rows, strict=True))
    got = detection(values / 10, unknown)
    yes, no = values[unknown], values[~unknown]
    wins = [(a > b) + (a == b) / 2 for a in yes for b in no]
    assert got.auroc == pytest.approx(np.mean(wins))
    fitting = [(no >= t).mean() for t in np.unique(values) if (yes >= t).mean() >= 0.95]
    assert got.fpr_at_95_tpr == pytest.approx(min(fitting))
    precision_at, before = 0.0, 0.0
    for t in np.unique(values)[::-1]:
        recall = (yes >= t).mean()
        precision_at += (recall - before) * unknown[values >= t].mean()
        before = recall
    assert got.aupr == pytest.approx(precision_at)
    assert (got.n_unknown, got.n_known, got.auroc_interval) == (len(yes), len(no), None)


def test_perfect_and_worst_separation():
    unknown = np.arange(20) >= 10
    best, worst = detection(np.arange(20) / 20, unknown), detection(-np.arange(20) / 20, unknown)
    assert (best.auroc, best.aupr, best.fpr_at_95_tpr) == (1, pytest.approx(1), 0)
    assert (worst.auroc, worst.fpr_at_95_tpr) == (0, 1)


@pytest.mark.parametrize(("n", "tolerance"), [(300, 1e-9), (3000, 2e-3)])
def test_the_interval_equals_judging_the_rows_of_every_draw_of_cells_anew(n, tolerance):
    rng = np.random.default_rng(0)
    groups = rng.integers(2**63, 2**63 + 12, n, dtype=np.uint64)
    unknown = groups % np.uint64(3) == 0
    values = rng.random(n) + 0.3 * unknown
    got = detection(values, unknown, groups=groups, seed=7).auroc_interval
    ids, draws, scores = np.unique(groups), np.random.default_rng(7), []
    for _ in range(200):
        drawn = ids[draws.integers(len(ids), size=len(ids))]
        rows = np.concatenate([np.flatnonzero(groups == i) for i in drawn])
        if len(np.unique(unknown[rows])) == 2:
            scores.append(roc_auc_score(unknown[rows], values[rows]))
    assert got == pytest.approx(np.percentile(scores, [2.5, 97.5]), abs=tolerance)


def test_what_cannot_be_judged_is_refused():
    values = np.array([0.1, 0.2])
    for unknown in ([True, True], [False, False]):
        with pytest.raises(LabelError, match="unknown and known rows"):
            detection(values, np.array(unknown))
    with pytest.raises(LabelError, match="one length"):
        detection(values, np.array([True]))
    with pytest.raises(LabelError, match="one length"):
        detection(values, np.array([True, False]), groups=np.array([1]))
    with pytest.raises(DataError, match="1 of 2 uncertainties are not finite"):
        detection(np.array([0.1, np.nan]), np.array([True, False]))


def test_ties_count_half_in_the_interval_whatever_the_order_of_rows():
    """More than a thousand values, and half the rows at one of them."""
    rng = np.random.default_rng(0)
    uncertainty = np.concatenate([rng.uniform(0, 0.9, 1500), np.ones(4500)])
    unknown, cells = np.arange(6000) >= 3000, np.arange(6000) // 30
    plain, turned = (
        detection(uncertainty[order], unknown[order], groups=cells[order], seed=0)
        for order in (np.arange(6000), np.arange(6000)[::-1])
    )
    assert plain.auroc == turned.auroc == pytest.approx(0.75)
    assert plain.auroc_interval == turned.auroc_interval
    low, high = plain.auroc_interval
    assert low < 0.75 < high
