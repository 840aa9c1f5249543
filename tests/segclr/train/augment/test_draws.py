"""Random numbers that depend on a key and a name alone."""

import numpy as np
import pytest
from scipy import stats

from segclr.errors import TrainingError
from segclr.train.augment.draws import Draws, mixed, view_keys


def test_mixing_equals_the_published_generator():
    """splitmix64 from seed 1234567: the numbers of its reference implementation, as others test theirs."""
    state, found = 1234567, []
    for _ in range(3):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        found.append(int(mixed(np.array([state], dtype=np.uint64))[0]))
    assert found == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_keys_depend_on_seed_number_and_side_and_never_meet():
    keys = np.concatenate([view_keys(seed, np.arange(20_000)) for seed in (0, 1, 2**31 - 1)])
    assert len(np.unique(keys)) == 3 * 2 * 20_000
    alone = view_keys(1, np.array([777]))
    assert alone.tolist() == view_keys(1, np.arange(1000))[[777, 1777]].tolist()


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_beyond_64_bits_is_refused(seed):
    with pytest.raises(TrainingError, match=f"from 0 to 2\\^64 - 1, got {seed}"):
        view_keys(seed, np.arange(2))


def test_far_samples_have_keys_too():
    assert len(np.unique(view_keys(0, np.array([0, 2**40, 2**53 + 1, 2**62])))) == 8


def test_a_view_draws_the_same_in_any_company():
    keys = view_keys(3, np.arange(50))
    whole = Draws(keys).unit("shift", 4)
    assert np.array_equal(np.concatenate([Draws(k[None]).unit("shift", 4) for k in keys]), whole)
    assert np.array_equal(Draws(keys).unit("shift", 2), whole[:, :2])


def test_numbers_are_uniform_and_independent_between_names_positions_sides_and_neighbours():
    draws = Draws(view_keys(5, np.arange(10_000)))
    columns = np.concatenate([draws.unit("one", 3), draws.unit("two", 2)], axis=1)
    a, b = columns[:10_000], columns[10_000:]
    numbers = np.concatenate([a, b, np.roll(a, 1, axis=0)], axis=1)
    for column in numbers.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-4
    correlation = np.corrcoef(numbers, rowvar=False) - np.eye(15)
    assert np.abs(correlation).max() < 0.045  # 4.5 times the spread 1 / sqrt(10,000)


def test_whole_numbers_reach_both_ends_and_chances_are_kept():
    draws = Draws(view_keys(0, np.arange(5000)))
    assert sorted(set(draws.below("n", 5).flatten().tolist())) == [0, 1, 2, 3, 4]
    assert abs(draws.chance("p", 0.3).double().mean() - 0.3) < 0.02
    assert not draws.chance("p", 0.0).any()
    assert draws.chance("p", 1.0).all()
