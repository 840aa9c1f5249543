"""Choosing the pairs that are watched."""

import numpy as np
import pytest

from segclr.errors import TrainingError
from segclr.train import PairRows
from segclr.train.history import History, balanced_rows


def test_rows_are_spread_over_the_groups_before_any_is_taken_twice():
    groups = np.array([7] * 50 + [1] * 3 + [4] * 2)
    chosen = balanced_rows(groups, 6, seed=0)
    assert sorted(groups[chosen]) == [1, 1, 4, 4, 7, 7]
    assert len(set(chosen.tolist())) == 6


def test_all_rows_are_taken_where_fewer_are_there_than_asked_for():
    assert sorted(balanced_rows(np.array([0, 0, 1]), 10, seed=0)) == [0, 1, 2]


def test_the_choice_follows_the_seed():
    groups = np.arange(100) // 10
    a, b, c = (balanced_rows(groups, 20, seed=s) for s in (0, 0, 1))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_a_single_held_out_pair_cannot_be_watched(data):
    one = PairRows(*[np.array([0])] * 3)
    with pytest.raises(TrainingError, match="at least 2 held-out pairs, got 1"):
        History(data.cubes, one, url="memory://history.csv", seed=0, n_pairs=8)
