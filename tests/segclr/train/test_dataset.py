"""Batches as a function of seed and step."""

import numpy as np
import pytest

from segclr.errors import TrainingError
from segclr.train import ArrayCubes, PairDataset, PairRows
from segclr.train.dataset import draw_pairs


class CountingCubes:
    def __init__(self, cubes):
        self.cubes, self.asked = cubes, []

    def __len__(self):
        return len(self.cubes)

    def read(self, rows):
        self.asked.append(rows.tolist())
        return self.cubes[rows]


@pytest.mark.parametrize(("n_pairs", "batch_pairs"), [(7, 3), (12, 4), (5, 5)])
def test_every_pair_is_seen_once_in_each_round(n_pairs, batch_pairs):
    steps = 3 * n_pairs  # batch_pairs whole rounds and more
    stream = np.concatenate(
        [draw_pairs(n_pairs, batch_pairs=batch_pairs, seed=4, step=k) for k in range(steps)]
    )
    for start in range(0, len(stream) - n_pairs + 1, n_pairs):
        assert sorted(stream[start : start + n_pairs]) == list(range(n_pairs))


def test_a_draw_depends_on_seed_and_step_alone():
    late = draw_pairs(100, batch_pairs=8, seed=1, step=57)
    for step in range(3):
        draw_pairs(100, batch_pairs=8, seed=1, step=step)
    assert np.array_equal(draw_pairs(100, batch_pairs=8, seed=1, step=57), late)
    assert not np.array_equal(draw_pairs(100, batch_pairs=8, seed=2, step=57), late)
    assert not np.array_equal(draw_pairs(100, batch_pairs=8, seed=1, step=58), late)


def test_an_item_holds_the_cubes_and_groups_of_its_pairs(data):
    dataset = PairDataset(data.cubes, data.training, batch_pairs=5, seed=0)
    batch = dataset[3]
    drawn = draw_pairs(len(data.training), batch_pairs=5, seed=0, step=3)
    assert batch.step == 3
    assert np.array_equal(batch.cubes_a.numpy(), data.cubes.cubes[data.training.rows_a[drawn]])
    assert np.array_equal(batch.cubes_b.numpy(), data.cubes.cubes[data.training.rows_b[drawn]])
    assert np.array_equal(batch.groups.numpy(), data.training.groups[drawn])


def test_a_cube_shared_by_several_pairs_is_read_once():
    cubes = CountingCubes(np.zeros((3, 2, 2, 2), np.uint8))
    pairs = PairRows(np.array([0, 0, 1]), np.array([1, 2, 2]), np.zeros(3, np.int64))
    PairDataset(cubes, pairs, batch_pairs=3, seed=0)[0]
    assert cubes.asked == [[0, 1, 2]]


def test_too_few_pairs_for_a_batch_are_refused(data):
    with pytest.raises(TrainingError, match="a batch needs 100 pairs, got 18"):
        PairDataset(data.cubes, data.training, batch_pairs=100, seed=0)


def test_rows_beyond_the_store_are_refused(data):
    with pytest.raises(TrainingError, match="name row 21, but the store holds 5 cubes"):
        PairDataset(
            ArrayCubes(data.cubes.cubes[:5]), PairRows(*[np.array([20, 21])] * 3), batch_pairs=2, seed=0
        )


def test_columns_of_unequal_length_are_refused():
    with pytest.raises(TrainingError, match=r"equal length, got \[2, 3\]"):
        PairRows(np.arange(2), np.arange(3), np.arange(2))
