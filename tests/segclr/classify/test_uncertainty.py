import numpy as np
import pytest
from scipy.stats import entropy

from segclr.classify import call_unknown, normalised_entropy
from segclr.errors import ConfigError


def test_equals_scipys_entropy_in_units_of_the_number_of_classes():
    p = np.random.default_rng(0).dirichlet(np.ones(5), 100)
    np.testing.assert_allclose(normalised_entropy(p), entropy(p, base=5, axis=1))


def test_certainty_is_zero_and_the_uniform_distribution_is_one():
    np.testing.assert_allclose(normalised_entropy(np.array([[1.0, 0.0], [0.5, 0.5]])), [0, 1])


def test_a_threshold_beyond_zero_to_one_is_refused():
    with pytest.raises(ConfigError, match="between 0 and 1"):
        call_unknown(np.array(["a"]), np.array([0.5]), unknown_above=2)
