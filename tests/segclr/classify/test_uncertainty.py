import numpy as np
import pytest
from scipy.stats import entropy

from segclr.classify import call_unknown, dempster_shafer, mean_field_logits, normalised_entropy
from segclr.errors import ConfigError


def test_equals_scipys_entropy_in_units_of_the_number_of_classes():
    p = np.random.default_rng(0).dirichlet(np.ones(5), 100)
    np.testing.assert_allclose(normalised_entropy(p), entropy(p, base=5, axis=1))


def test_certainty_is_zero_and_the_uniform_distribution_is_one():
    np.testing.assert_allclose(normalised_entropy(np.array([[1.0, 0.0], [0.5, 0.5]])), [0, 1])


def test_dempster_shafer_is_its_formula_and_holds_large_logits():
    logits = np.random.default_rng(0).standard_normal((50, 4)) * 3
    np.testing.assert_allclose(dempster_shafer(logits), 4 / (4 + np.exp(logits).sum(axis=1)))
    np.testing.assert_allclose(dempster_shafer(np.array([[0.0] * 3, [1e4] * 3, [-1e4] * 3])), [0.5, 0, 1])


def test_shrunk_logits_give_about_the_mean_probability_of_gaussian_logits():
    rng = np.random.default_rng(0)
    mean, variance = np.array([[-1.0, 1.0], [0.2, -0.2]]), np.array([2.0, 0.5])
    drawn = mean[:, :1] * 2 + np.sqrt(variance[:, None]) * rng.standard_normal((2, 200_000))
    wanted = (1 / (1 + np.exp(-drawn))).mean(axis=1)
    shrunk = mean_field_logits(mean, variance)
    np.testing.assert_allclose(1 / (1 + np.exp(shrunk[:, 1] - shrunk[:, 0])), wanted, atol=0.01)


def test_a_threshold_beyond_zero_to_one_is_refused():
    with pytest.raises(ConfigError, match="between 0 and 1"):
        call_unknown(np.array(["a"]), np.array([0.5]), unknown_above=2)
