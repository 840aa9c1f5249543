"""The training batches as a Lightning data module that begins at the step a run has come to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytorch_lightning as pl
from torch.utils.data import DataLoader, Sampler

from segclr.train.batch import PairBatch
from segclr.train.dataset import PairDataset

__all__ = ["PairDataModule", "StepSampler"]


class StepSampler(Sampler[int]):
    """Steps ``start ... stop - 1``. It has no length on purpose: Lightning then does not count epochs."""

    def __init__(self, start: int, stop: int) -> None:
        """Hold the half-open range."""
        self.start = start
        self.stop = stop

    def __iter__(self) -> Iterator[int]:
        """One step after the other."""
        return iter(range(self.start, self.stop))


class PairDataModule(pl.LightningDataModule):
    """Loads whole batches, one an item, in worker processes or in the training process."""

    def __init__(self, dataset: PairDataset, *, steps: int, num_workers: int) -> None:
        """Batches come from ``dataset`` up to step ``steps``."""
        super().__init__()
        self.dataset = dataset
        self.steps = steps
        self.num_workers = num_workers

    def train_dataloader(self) -> DataLoader[PairBatch]:
        """Called by Lightning after a checkpoint is restored, so the step is the one to go on with."""
        start = self.trainer.global_step if self.trainer is not None else 0
        return DataLoader(
            self.dataset,
            batch_size=None,
            sampler=StepSampler(start, self.steps),
            num_workers=self.num_workers,
            collate_fn=_unchanged,
            # a fork would copy the threads' locks of zarr's and torch's pools
            multiprocessing_context="spawn" if self.num_workers else None,
            persistent_workers=self.num_workers > 0,
        )


def _unchanged(batch: Any) -> Any:
    return batch
