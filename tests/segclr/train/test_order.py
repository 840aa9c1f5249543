"""The endless sequence of samples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segclr.train.order import PairsInTurn, SegmentsInTurn, sample_numbers


@given(n_pairs=st.integers(1, 30), rounds=st.integers(1, 4), seed=st.integers(0, 2**31 - 1))
@settings(max_examples=50)
def test_every_pair_comes_once_in_each_round(n_pairs, rounds, seed):
    taken = PairsInTurn(n_pairs, seed).take(np.arange(rounds * n_pairs))
    for start in range(0, len(taken), n_pairs):
        assert sorted(taken[start : start + n_pairs]) == list(range(n_pairs))


@given(sizes=st.lists(st.integers(1, 6), min_size=1, max_size=6), seed=st.integers(0, 2**31 - 1))
@settings(max_examples=50)
def test_every_segment_comes_once_in_each_round_and_goes_through_its_pairs(sizes, seed):
    groups = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)) * 7, sizes))
    rounds = 2 * int(np.lcm.reduce(sizes))
    taken = SegmentsInTurn(groups, seed).take(np.arange(rounds * len(sizes)))
    for start in range(0, len(taken), len(sizes)):
        assert sorted(groups[taken[start : start + len(sizes)]]) == sorted(set(groups))
    for group, size in zip(np.arange(len(sizes)) * 7, sizes, strict=True):
        own = taken[groups[taken] == group]
        for start in range(0, len(own), size):
            assert sorted(own[start : start + size]) == sorted(np.flatnonzero(groups == group))


@pytest.mark.parametrize("kind", ["pairs", "segments"])
def test_a_sample_depends_on_seed_and_number_alone(kind):
    def order(seed):
        groups = np.repeat(np.arange(20), 5)
        return PairsInTurn(100, seed) if kind == "pairs" else SegmentsInTurn(groups, seed)

    whole = order(1).take(np.arange(500))
    backwards = np.concatenate([order(1).take(np.array([i])) for i in range(499, -1, -1)])
    assert np.array_equal(whole, backwards[::-1])
    assert not np.array_equal(order(2).take(np.arange(500)), whole)
    assert not np.array_equal(whole[:100], whole[100:200])


def test_a_rare_segment_comes_as_often_as_a_frequent_one():
    groups = np.repeat([0, 1], [95, 5])
    by_segment = groups[SegmentsInTurn(groups, 0).take(np.arange(1000))]
    by_pair = groups[PairsInTurn(100, 0).take(np.arange(1000))]
    assert by_segment.mean() == 0.5
    assert by_pair.mean() == 0.05


def test_batches_follow_each_other_without_gap_or_overlap():
    numbers = np.concatenate([sample_numbers(step, batch_pairs=7) for step in range(5)])
    assert np.array_equal(numbers, np.arange(35))
