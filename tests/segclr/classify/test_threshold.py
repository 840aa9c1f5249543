import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from segclr.classify import LinearClassifier, choose_threshold, threshold_for_rate
from segclr.classify.split import split_by_segment
from segclr.errors import ConfigError, DataError, LabelError

BIG = np.uint64(2**63)


def blobs(*, n_cells=40, rows=10, noise=2.0, seed=0):
    rng = np.random.default_rng(seed)
    cells = np.repeat(np.arange(n_cells, dtype=np.uint64), rows)
    kind = (cells % np.uint64(3)).astype(int)
    X = 2 * np.eye(3, 6)[kind] + noise * rng.standard_normal((len(cells), 6))
    return X, np.array(["axon", "dendrite", "soma"])[kind], cells + BIG


@settings(max_examples=300)
@example(values=[0, 1], rate=1 - 2**-53)
@given(
    values=st.lists(st.integers(0, 20), min_size=1, max_size=60),
    rate=st.floats(0, 1, exclude_max=True),
)
def test_it_is_the_lowest_value_with_at_most_the_rate_above_it(values, rate):
    uncertainty = np.array(values) / 20
    threshold = threshold_for_rate(uncertainty, rate=rate)
    share = {float(u): (uncertainty > u).mean() for u in uncertainty}
    assert share[threshold] <= rate + 1e-9
    assert all(share[u] > rate - 1e-9 for u in share if u < threshold)


def test_a_whole_number_of_rows_is_not_lost_to_rounding():
    uncertainty = np.arange(100) / 100
    for n in range(100):
        assert (uncertainty > threshold_for_rate(uncertainty, rate=n / 100)).sum() == n


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_a_rate_out_of_range_is_refused(rate):
    with pytest.raises(ConfigError, match="0 to below 1"):
        threshold_for_rate(np.array([0.5]), rate=rate)


@pytest.mark.parametrize("uncertainty", [np.array([]), np.array([0.1, np.nan])])
def test_no_row_and_what_is_not_finite_are_refused(uncertainty):
    with pytest.raises(DataError, match="finite uncertainties"):
        threshold_for_rate(uncertainty, rate=0.1)


def test_of_cells_never_seen_about_the_wanted_rate_is_called_unknown():
    X, y, cells = blobs(n_cells=120)
    fit = cells < BIG + np.uint64(60)
    model = LinearClassifier(C=1.0)
    threshold = choose_threshold(model, X[fit], y[fit], cells[fit], rate=0.1)
    answer = (
        model.fit(X[fit], y[fit], cells[fit]).predict(X[~fit], unknown_above=threshold.unknown_above)
        == "unknown"
    )
    assert answer.mean() == pytest.approx(0.1, abs=0.05)
    assert threshold.rate == pytest.approx(0.1, abs=0.03)


def test_it_is_the_middle_one_of_fits_on_other_cells_and_leaves_the_classifier_alone():
    X, y, cells = blobs()
    model = LinearClassifier(C=1.0, calibrate=False)
    got = choose_threshold(model, X, y, cells, rate=0.2, seed=4)
    assert not hasattr(model, "classes_")
    held_out, judged = [], set()
    for seed in range(4, 9):
        split = split_by_segment(cells, y, test_share=0.3, seed=seed)
        fitted = LinearClassifier(C=1.0, calibrate=False).fit(X[split.train], y[split.train])
        held_out.append(fitted.uncertainty(X[split.test]))
        judged |= set(cells[split.test].tolist())
    uncertainty = np.concatenate(held_out)
    assert got.unknown_above == sorted(threshold_for_rate(u, rate=0.2) for u in held_out)[2]
    assert (got.n_rows, got.n_cells) == (len(uncertainty), len(judged))
    assert got.rate == (uncertainty > got.unknown_above).mean()


def test_a_fit_that_is_less_sure_of_everything_does_not_decide():
    X, y, cells = blobs(n_cells=60)
    shrunk = iter([0.1, 1.0, 0.1, 0.1, 0.1])

    class Odd(LinearClassifier):
        def fit(self, X, y, groups=None):
            self.factor_ = next(shrunk)
            return super().fit(X, y, groups)

        def uncertainty(self, X):
            return self.factor_ * super().uncertainty(X)

    assert choose_threshold(Odd(C=1.0, calibrate=False), X, y, cells, rate=0.1).unknown_above <= 0.1


def test_three_cells_of_every_class_are_needed_and_suffice():
    X, y, cells = blobs(n_cells=9)
    assert 0 <= choose_threshold(LinearClassifier(), X, y, cells, rate=0.1).unknown_above <= 1
    X, y, cells = blobs(n_cells=8)
    with pytest.raises(LabelError, match=r"class soma \(2\) has rows of fewer than three cells"):
        choose_threshold(LinearClassifier(), X, y, cells, rate=0.1)
    with pytest.raises(LabelError, match="groups must name"):
        choose_threshold(LinearClassifier(), X, y, cells[1:], rate=0.1)
