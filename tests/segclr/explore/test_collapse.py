import numpy as np
import pytest

from segclr.explore import describe_collapse

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("value", [0.0, 0.7, -1e5])
def test_equal_embeddings_are_told_even_with_rounding_noise(value):
    x = np.full((300, 8), value) * (1 + 1e-6 * RNG.standard_normal((300, 8)))
    assert "300 nodes are all equal" in describe_collapse(x.astype(np.float32), seed=0)


def test_embeddings_on_a_line_are_told():
    x = np.outer(RNG.standard_normal(50), RNG.standard_normal(8)) + 3
    assert "50 nodes lie on one line" in describe_collapse(x, seed=0)


def test_embeddings_that_spread_are_not_accused_whatever_their_offset_or_scale():
    x = RNG.standard_normal((100, 8)) * [5, 1, 1, 1, 1, 1, 1, 1]
    for scale, offset in ((1.0, 0.0), (1e-9, 0.0), (1.0, 50.0)):
        assert describe_collapse(scale * x + offset, seed=0) == ""


def test_one_dimension_or_two_nodes_are_no_line():
    assert describe_collapse(RNG.standard_normal((50, 1)), seed=0) == ""
    assert describe_collapse(RNG.standard_normal((2, 8)), seed=0) == ""
