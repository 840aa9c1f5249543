"""The training step."""

import pytest
import pytorch_lightning as pl
import torch

from segclr.errors import TrainingError
from segclr.model import NtXent, build_network
from segclr.model.loss import build_loss
from segclr.train import PairDataset
from segclr.train.datamodule import PairDataModule
from segclr.train.module import ContrastiveModule, own_pairs

LIGHTNINGS_OWN_WARNINGS = pytest.mark.filterwarnings(
    "ignore:.*LeafSpec.*:FutureWarning", "ignore:.*many workers.*", "ignore:.*`srun` command.*"
)


@pytest.fixture
def make_module(encoder_config, train_config):
    def make(**keys):
        config = train_config.model_copy(update=keys)
        return ContrastiveModule(
            build_network(encoder_config, seed=0),
            loss=build_loss(config, encoder_config, seed=0),
            config=config,
            voxel_size_nm=(8.0, 8.0, 8.0),
            size_vx=9,
            seed=0,
        )

    return make


@pytest.fixture
def module(make_module):
    return make_module()


@pytest.fixture
def dataset(data):
    return PairDataset(data.cubes, data.training, batch_pairs=5, seed=0)


def fitted(module, dataset, *, steps=1):
    """The module after some steps under a bare Lightning trainer."""
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=steps,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, datamodule=PairDataModule(dataset, steps=steps, num_workers=0))
    return module


ALL = slice(None)


def test_the_loss_is_nt_xent_of_the_projected_views(module, dataset):
    batch = dataset[0]
    module.network.eval()  # so that a second pass gives the same
    views = module.views(batch, ALL)
    a, b = module.network.project(module.network(views)).chunk(2)
    wanted = NtXent(module.config.temperature)(a, b, batch.groups)
    assert torch.allclose(module.pair_loss(batch, ALL), wanted)


def test_views_are_a_function_of_the_sample_and_differ_between_samples_and_partners(module, dataset):
    batch = dataset[0]
    same = batch._replace(cubes_b=batch.cubes_a)
    views = module.views(same, ALL)
    assert torch.equal(module.views(same, ALL), views)
    assert not torch.equal(module.views(same._replace(samples=batch.samples + 5), ALL), views)
    a, b = views.chunk(2)
    assert all(not torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_views_of_some_pairs_are_those_of_the_whole_batch(module, dataset):
    a, b = module.views(dataset[0], ALL).chunk(2)
    some_a, some_b = module.views(dataset[0], slice(1, 3)).chunk(2)
    assert torch.equal(some_a, a[1:3])
    assert torch.equal(some_b, b[1:3])


@pytest.mark.parametrize(("accumulate", "n_processes"), [(1, 1), (3, 1), (1, 4), (3, 4), (2, 2)])
def test_processes_and_micro_batches_divide_a_batch_without_rest(accumulate, n_processes):
    parts = [
        own_pairs(24, accumulate=accumulate, rank=rank, n_processes=n_processes)
        for rank in range(n_processes)
    ]
    pairs = list(range(24))
    in_order = [p for micro in range(accumulate) for own in parts for p in pairs[own[micro]]]
    assert in_order == pairs
    assert len({len(pairs[s]) for own in parts for s in own}) == 1


@LIGHTNINGS_OWN_WARNINGS
@pytest.mark.parametrize("clip", [0.0, 0.05])
def test_an_accumulated_step_descends_the_mean_loss_of_its_micro_batches(make_module, data, clip):
    keys = {"optimizer": "sgd", "learning_rate": 0.1, "warmup_steps": 0, "weight_decay": 0.0}
    dataset = PairDataset(data.cubes, data.training, batch_pairs=6, seed=0)
    slow = make_module(**keys)
    loss = sum(slow.pair_loss(dataset[0], pairs) for pairs in (slice(0, 2), slice(2, 4), slice(4, 6))) / 3
    loss.backward()
    norm = torch.cat([p.grad.flatten() for p in slow.network.parameters()]).norm()
    factor = min(1.0, clip / float(norm)) if clip else 1.0
    assert clip == 0 or factor < 1
    fast = fitted(make_module(**keys, accumulate=3, batch_pairs=6, gradient_clip=clip), dataset)
    for (name, a), b in zip(fast.network.named_parameters(), slow.network.parameters(), strict=True):
        assert torch.allclose(a, b - 0.1 * factor * b.grad, atol=1e-6), name


@LIGHTNINGS_OWN_WARNINGS
def test_a_predictor_learns_and_a_running_mean_takes_no_gradient(make_module, dataset):
    module = make_module(loss="simsiam", ema_decay=0.5)
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    fitted(module, dataset)
    assert not torch.equal(module.loss.predictor[0].weight, before["loss.predictor.0.weight"])
    optimised = {id(p) for group in module.optimizers().param_groups for p in group["params"]}
    assert optimised == {id(p) for m in (module.network, module.loss) for p in m.parameters()}
    for mean, own in zip(module.average.module.parameters(), module.network.parameters(), strict=True):
        assert torch.equal(mean, own)  # of one step


@LIGHTNINGS_OWN_WARNINGS
def test_a_loss_that_is_not_finite_stops_the_training_with_advice(module, dataset):
    with torch.no_grad():
        module.network.projection.layers[0].weight.fill_(torch.nan)
    with pytest.raises(TrainingError, match=r"the loss of step 0 is nan: lower train.learning_rate"):
        fitted(module, dataset)


def test_a_batch_of_another_step_is_refused(module, dataset):
    with pytest.raises(TrainingError, match="step 0 received the batch of step 2"):
        module.training_step(dataset[2], 0)


def test_weights_that_are_not_finite_are_not_saved(module):
    with torch.no_grad():
        module.network.projection.layers[0].weight.fill_(torch.inf)
    with pytest.raises(TrainingError, match="the last checkpoint is kept"):
        module.on_save_checkpoint({})
