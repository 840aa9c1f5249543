"""The loader gives the batches of the steps that are left, in order."""

import torch

from segclr.train import PairDataset
from segclr.train.datamodule import PairDataModule, StepSampler


def test_the_loader_gives_the_datasets_batches_in_order(data):
    dataset = PairDataset(data.cubes, data.training, batch_pairs=5, seed=0)
    loaded = list(PairDataModule(dataset, steps=4, num_workers=0).train_dataloader())
    assert [batch.step for batch in loaded] == [0, 1, 2, 3]
    for step, batch in enumerate(loaded):
        assert torch.equal(batch.cubes_a, dataset[step].cubes_a)
        assert torch.equal(batch.groups, dataset[step].groups)


def test_the_sampler_begins_where_it_is_told():
    assert list(StepSampler(3, 6)) == [3, 4, 5]
