"""The training batches as a Lightning data module that begins at the step a run has come to."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pytorch_lightning as pl
from torch.utils.data import DataLoader, Sampler

from segclr.train.batch import PairBatch
from segclr.train.dataset import PairDataset

__all__ = ["PairDataModule", "ReadAhead", "StepSampler"]

_READ_AHEAD = 2
"""Batches ready before they are asked for; so many for each worker process too (PyTorch's own default)."""


class StepSampler(Sampler[int]):
    """Steps ``start ... stop - 1``. It has no length on purpose: Lightning then does not count epochs."""

    def __init__(self, start: int, stop: int) -> None:
        """Hold the half-open range."""
        self.start = start
        self.stop = stop

    def __iter__(self) -> Iterator[int]:
        """One step after the other."""
        return iter(range(self.start, self.stop))


@dataclass(frozen=True, eq=False)
class ReadAhead:
    """Batches of some steps in order, read by one thread while those before them are used.

    Reading lets other threads go on: it decompresses and copies outside of Python.
    """

    dataset: PairDataset
    steps: Iterable[int]

    def __iter__(self) -> Iterator[PairBatch]:
        """Begin to read."""
        steps = iter(self.steps)
        with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as thread:
            ready: deque[Future[PairBatch]] = deque()
            try:
                for step in islice(steps, _READ_AHEAD):
                    ready.append(thread.submit(self.dataset.__getitem__, step))
                while ready:
                    batch = ready.popleft().result()
                    for step in islice(steps, 1):
                        ready.append(thread.submit(self.dataset.__getitem__, step))
                    yield batch
            finally:
                for future in ready:
                    future.cancel()


class PairDataModule(pl.LightningDataModule):
    """Loads whole batches, one an item, in worker processes or in a thread of the training process."""

    def __init__(self, dataset: PairDataset, *, steps: int, num_workers: int) -> None:
        """Batches come from ``dataset`` up to step ``steps``."""
        super().__init__()
        self.dataset = dataset
        self.steps = steps
        self.num_workers = num_workers

    def train_dataloader(self) -> Iterable[PairBatch]:
        """Called by Lightning after a checkpoint is restored, so the step is the one to go on with."""
        start = self.trainer.global_step if self.trainer is not None else 0
        sampler = StepSampler(start, self.steps)
        if not self.num_workers:
            return ReadAhead(self.dataset, sampler)
        return DataLoader(
            self.dataset,
            batch_size=None,
            sampler=sampler,
            num_workers=self.num_workers,
            prefetch_factor=_READ_AHEAD,
            collate_fn=_unchanged,
            # a fork would copy the threads' locks of zarr's and torch's pools
            multiprocessing_context="spawn",
            persistent_workers=True,
        )


def _unchanged(batch: Any) -> Any:
    return batch
