import numpy as np
import pytest

from segclr.classify.bootstrap import N_DRAWS, bootstrap_interval


def share(sums):
    return sums[:, 0] / sums[:, 1]


def test_the_interval_of_a_mean_is_the_one_of_the_normal_approximation():
    hits = np.random.default_rng(0).integers(0, 11, 400)
    got = bootstrap_interval(np.column_stack([hits, np.full(400, 10)]), share, seed=0)
    error = (hits / 10).std() / np.sqrt(400)
    assert got == pytest.approx([(hits / 10).mean() + z * error for z in (-1.96, 1.96)], abs=0.5 * error)


def test_the_nodes_of_one_cell_are_drawn_together():
    cells = np.random.default_rng(1).integers(0, 2, 40)
    small = bootstrap_interval(np.column_stack([cells, np.ones(40, int)]), share, seed=0)
    large = bootstrap_interval(np.column_stack([cells * 1000, np.full(40, 1000)]), share, seed=0)
    assert large == pytest.approx(small)


def test_the_score_sees_sums_over_as_many_cells_as_there_are():
    seen = []

    def score(sums):
        seen.append(sums)
        return sums[:, 0, 0]

    bootstrap_interval(np.ones((7, 2, 3), dtype=np.int64), score, seed=0)
    assert seen[0].shape == (N_DRAWS, 2, 3)
    assert (seen[0] == 7).all()


def test_one_cell_tells_nothing_of_other_cells():
    assert bootstrap_interval(np.array([[3, 4]]), share, seed=0) is None


def test_draws_without_a_score_are_left_out():
    def score(sums):
        return np.where(sums[:, 0] > 0, 1.0, np.nan)

    assert bootstrap_interval(np.array([[1], [0]]), score, seed=0) == (1.0, 1.0)
    assert bootstrap_interval(np.array([[0], [0]]), score, seed=0) is None
