import numpy as np
import pytest
from scipy.special import softmax

from segclr.classify.temperature import fit_temperature


def drawn(temperature, *, n=20_000, k=4, seed=0):
    """Scores, and classes drawn from the softmax of the scores over a temperature."""
    rng = np.random.default_rng(seed)
    scores = 3 * rng.standard_normal((n, k))
    p = softmax(scores / temperature, axis=1)
    return scores, (rng.random((n, 1)) > p.cumsum(axis=1)).sum(axis=1).clip(max=k - 1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_the_temperature_that_classes_were_drawn_with_is_found(temperature):
    scores, target = drawn(temperature)
    assert fit_temperature(scores, target) == pytest.approx(temperature, rel=0.05)


def test_it_has_the_lowest_log_loss_of_a_fine_grid():
    scores, target = drawn(2.0, n=300)
    grid = np.exp(np.linspace(-2, 3, 501))
    n = np.bincount(target)
    wanted = np.array([[(n[c] + 1 if k == c else 1 / 3) / (n[c] + 2) for k in range(4)] for c in target])
    losses = [-(wanted * np.log(softmax(scores / t, axis=1))).sum(axis=1).mean() for t in grid]
    assert fit_temperature(scores, target) == pytest.approx(grid[int(np.argmin(losses))], rel=0.011)


def test_scores_that_are_never_wrong_do_not_end_in_certainty():
    """100 rows of each class at one place: the best answer there is (100 + 1) / (100 + 2) by Platt's rule."""
    target = np.arange(300) % 3
    scores = np.eye(3)[target] * 10
    sure = softmax(scores / fit_temperature(scores, target), axis=1).max()
    assert sure == pytest.approx(101 / 102, abs=1e-4)
