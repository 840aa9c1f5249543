"""Batches as a function of seed and step."""

from dataclasses import replace

import numpy as np
import pytest

from segclr.errors import TrainingError
from segclr.train import ArrayCubes, PairDataset, PairRows
from segclr.train.augment import view_keys
from segclr.train.module import own_pairs
from segclr.train.order import SegmentsInTurn


class CountingCubes:
    def __init__(self, cubes):
        self.cubes, self.asked = cubes, []

    def __len__(self):
        return len(self.cubes)

    def read(self, rows):
        self.asked.append(rows.tolist())
        return self.cubes[rows]


def test_an_item_holds_the_cubes_and_groups_of_its_pairs(data):
    dataset = PairDataset(data.cubes, data.training, batch_pairs=5, seed=0)
    batch = dataset[3]
    drawn = data.training.order(0).take(np.arange(15, 20))
    assert batch.step == 3
    assert batch.samples.tolist() == [15, 16, 17, 18, 19]
    assert np.array_equal(batch.cubes_a.numpy(), data.cubes.cubes[data.training.rows_a[drawn]])
    assert np.array_equal(batch.cubes_b.numpy(), data.cubes.cubes[data.training.rows_b[drawn]])
    assert np.array_equal(batch.groups.numpy(), data.training.groups[drawn])


@pytest.mark.parametrize(("accumulate", "n_processes"), [(1, 2), (2, 3)])
def test_processes_read_their_own_pairs_and_together_the_whole_batch(data, accumulate, n_processes):
    whole = PairDataset(data.cubes, data.training, batch_pairs=12, seed=0)[4]
    taken = []
    for rank in range(n_processes):
        own = own_pairs(12, accumulate=accumulate, rank=rank, n_processes=n_processes)
        cubes = CountingCubes(data.cubes.cubes)
        dataset = PairDataset(cubes, data.training, batch_pairs=12, seed=0, own=tuple(own))
        part = dataset[4]
        places = [place for each in own for place in range(12)[each]]
        for found, wanted in zip(part[1:], whole[1:], strict=True):
            assert np.array_equal(found.numpy(), wanted[places].numpy())
        rows = data.training.order(0).take(part.samples.numpy())
        needed = np.union1d(data.training.rows_a[rows], data.training.rows_b[rows])
        assert cubes.asked == [needed.tolist()]
        taken += places
    assert sorted(taken) == list(range(12))


def test_a_cube_shared_by_several_pairs_is_read_once():
    cubes = CountingCubes(np.zeros((3, 2, 2, 2), np.uint8))
    pairs = PairRows(np.array([0, 0, 1]), np.array([1, 2, 2]), np.zeros(3, np.int64))
    PairDataset(cubes, pairs, batch_pairs=3, seed=0)[0]
    assert cubes.asked == [[0, 1, 2]]


def test_segments_take_turns_where_they_are_balanced(data):
    pairs = replace(data.training, balance="segments")
    batch = PairDataset(data.cubes, pairs, batch_pairs=6, seed=2)[4]
    drawn = SegmentsInTurn(pairs.groups, 2).take(np.arange(24, 30))
    assert np.array_equal(batch.groups.numpy(), pairs.groups[drawn])
    assert sorted(batch.groups.tolist()) == [0, 1, 2, 3, 4, 5]


def test_a_growing_source_is_asked_for_every_view_with_its_key():
    class Growing(CountingCubes):
        grows = True

        def read_grown(self, rows, keys):
            self.asked.append((rows.tolist(), keys.tolist()))
            return self.cubes[rows]

    cubes = Growing(np.arange(24, dtype=np.uint8).reshape(3, 2, 2, 2))
    pairs = PairRows(np.array([0, 0]), np.array([1, 1]), np.zeros(2, np.int64))
    batch = PairDataset(cubes, pairs, batch_pairs=2, seed=9)[5]
    assert cubes.asked == [([0, 0, 1, 1], view_keys(9, np.array([10, 11])).tolist())]
    assert np.array_equal(batch.cubes_b.numpy(), cubes.cubes[[1, 1]])


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
