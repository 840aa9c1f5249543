"""The loader gives the batches of the steps that are left, in order."""

import threading
import time

import numpy as np
import pytest
import torch

from segclr.config import AugmentConfig
from segclr.train import PairDataset, random_views
from segclr.train.augment import draw_views, view_keys
from segclr.train.datamodule import PairDataModule, ReadAhead, StepSampler


@pytest.fixture
def dataset(data):
    return PairDataset(data.cubes, data.training, batch_pairs=5, seed=0)


def assert_in_order(batches, dataset):
    assert [batch.step for batch in batches] == list(range(len(batches)))
    for step, batch in enumerate(batches):
        for found, wanted in zip(batch[1:], dataset[step][1:], strict=True):
            assert torch.equal(found, wanted)


def test_the_loader_gives_the_datasets_batches_in_order(dataset):
    assert_in_order(list(PairDataModule(dataset, steps=5, num_workers=0).train_dataloader()), dataset)


def test_draws_change_from_batch_to_batch_in_every_worker_and_every_round(dataset, train_config):
    """18 pairs in batches of 5 from two processes: 4 rounds, in which each pair comes 4 times."""
    config = train_config.augment
    batches = list(PairDataModule(dataset, steps=15, num_workers=2).train_dataloader())
    assert_in_order(batches, dataset)
    seen = {}
    for batch in batches:
        keys = view_keys(0, batch.samples.numpy())
        drawn = draw_views(config, keys, voxel_size_nm=(8.0, 8.0, 8.0), margin_vx=2)
        pairs = dataset.pairs.order(0).take(batch.samples.numpy())
        for i, pair in enumerate(np.concatenate([pairs, pairs]).tolist()):
            seen.setdefault(pair, set()).add(drawn.grey.contrast[i].item())
    draws = [len(contrasts) for contrasts in seen.values()]
    assert len(seen) == 18
    assert sum(draws) == 2 * 15 * 5  # no two of them alike
    assert min(draws) >= 8
    same = batches[0]._replace(samples=batches[1].samples)
    sizes = {"voxel_size_nm": (8.0, 8.0, 8.0), "size_vx": 9}
    first = random_views(batches[0], AugmentConfig(), seed=0, **sizes)
    assert not torch.equal(random_views(same, AugmentConfig(), seed=0, **sizes), first)
    assert not torch.equal(random_views(batches[0], AugmentConfig(), seed=1, **sizes), first)


def test_the_sampler_begins_where_it_is_told():
    assert list(StepSampler(3, 6)) == [3, 4, 5]


class Recorder:
    """Stands for a dataset: says which steps were read, and in which thread."""

    def __init__(self, fails_at=None):
        self.read, self.threads, self.fails_at = [], set(), fails_at

    def __getitem__(self, step):
        if step == self.fails_at:
            raise ValueError(step)
        self.read.append(step)
        self.threads.add(threading.current_thread())
        return step


def test_two_batches_are_read_ahead_by_another_thread():
    recorder = Recorder()
    batches = iter(ReadAhead(recorder, range(10)))
    assert next(batches) == 0
    for _ in range(500):
        if len(recorder.read) == 3:
            break
        time.sleep(0.01)
    assert recorder.read == [0, 1, 2]
    assert threading.current_thread() not in recorder.threads
    assert list(batches) == list(range(1, 10))


def test_reading_ends_with_the_one_who_asks():
    recorder = Recorder()
    batches = iter(ReadAhead(recorder, range(1000)))
    next(batches)
    batches.close()
    assert not any(thread.is_alive() for thread in recorder.threads)
    assert len(recorder.read) <= 3


def test_an_error_of_reading_comes_with_its_batch():
    batches = iter(ReadAhead(Recorder(fails_at=1), range(5)))
    assert next(batches) == 0
    with pytest.raises(ValueError, match="1"):
        next(batches)
