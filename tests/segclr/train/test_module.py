"""The training step."""

import pytest
import torch

from segclr.errors import TrainingError
from segclr.model import NtXent, build_network
from segclr.train import PairDataset
from segclr.train.module import ContrastiveModule


@pytest.fixture
def module(encoder_config, train_config):
    network = build_network(encoder_config, seed=0)
    return ContrastiveModule(network, config=train_config, voxel_size_nm=(8.0, 8.0, 8.0), size_vx=9, seed=0)


@pytest.fixture
def dataset(data):
    return PairDataset(data.cubes, data.training, batch_pairs=5, seed=0)


def test_the_loss_is_nt_xent_of_the_projected_views(module, dataset):
    batch = dataset[0]
    module.network.eval()  # so that a second pass gives the same
    views = module.views(batch)
    a, b = module.network.project(module.network(views)).chunk(2)
    wanted = NtXent(module.config.temperature)(a, b, batch.groups)
    assert torch.allclose(module.training_step(batch, 0), wanted)


def test_views_are_a_function_of_the_step_and_differ_between_steps_and_partners(module, dataset):
    batch = dataset[0]
    same = batch._replace(cubes_b=batch.cubes_a)
    views = module.views(same)
    assert torch.equal(module.views(same), views)
    assert not torch.equal(module.views(same._replace(step=1)), views)
    a, b = views.chunk(2)
    assert all(not torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_loss_that_is_not_finite_stops_the_training_with_advice(module, dataset):
    with torch.no_grad():
        module.network.projection.layers[0].weight.fill_(torch.nan)
    with pytest.raises(TrainingError, match=r"the loss of step 0 is nan: lower train.learning_rate"):
        module.training_step(dataset[0], 0)


def test_a_batch_of_another_step_is_refused(module, dataset):
    with pytest.raises(TrainingError, match="step 0 received the batch of step 2"):
        module.training_step(dataset[2], 0)


def test_weights_that_are_not_finite_are_not_saved(module):
    with torch.no_grad():
        module.network.projection.layers[0].weight.fill_(torch.inf)
    with pytest.raises(TrainingError, match="the last checkpoint is kept"):
        module.on_save_checkpoint({})
