"""Training in two processes of the CPU against one, and what happens where one of them fails."""

import csv
import multiprocessing
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning.plugins.layer_sync import TorchSyncBatchNorm

from segclr import files
from segclr.config import EncoderConfig, TrainConfig
from segclr.errors import TrainingError
from segclr.model import build_network
from segclr.model.loss import build_loss
from segclr.train import TrainingData, train_encoder
from segclr.train.checkpoints import checkpoint_url, read_checkpoint
from segclr.train.module import ContrastiveModule
from segclr.train.processes import watch_processes
from segclr.train.session import Trained, synchronises_batch_norm


@pytest.fixture
def group_norm(encoder_config):
    return encoder_config.model_copy(update={"norm": "group"})


def history(folder):
    with (Path(folder) / "history.csv").open() as file:
        return list(csv.DictReader(file))


KEYS = {
    "steps": 4,
    "batch_pairs": 8,
    "warmup_steps": 1,
    "validate_every": 1,
    "validation_pairs": 8,
    "checkpoint_every": 2,
    "weight_decay": 1e-3,
    "precision": "float32",
}


class StoppedError(Exception):
    pass


@pytest.fixture
def fit(data, group_norm, tmp_path):
    def run(name, *, stop_after=None, **keys):
        done = []

        def on_step(step, _):
            done.append(step)
            if step == stop_after:
                raise StoppedError

        train = TrainConfig(**{**KEYS, **keys})
        folder = str(tmp_path / name)
        encoder = train_encoder(data, encoder=group_norm, train=train, folder=folder, seed=1, on_step=on_step)
        state = read_checkpoint(checkpoint_url(files.join(folder, "checkpoints"), 4))["state_dict"]
        return done, encoder, state, history(folder)

    return run


def assert_close(found, wanted):
    """Steps reported, weights saved and exported, and losses to what float32 rounds."""
    assert found[0] == wanted[0] == [1, 2, 3, 4]
    for a, b in (
        (found[2], wanted[2]),
        (found[1].network.state_dict(), wanted[1].network.state_dict()),
    ):
        assert a.keys() == b.keys()
        assert max(float((a[name] - b[name]).abs().max()) for name in a) < 1e-6
    for row, wanted_row in zip(found[3][1:], wanted[3][1:], strict=True):
        assert float(row["loss"]) == pytest.approx(float(wanted_row["loss"]), rel=1e-6)


def test_two_processes_with_half_batches_equal_one_and_resume_bit_for_bit(fit, tmp_path):
    keys = {
        "optimizer": "sgd",
        "learning_rate": 0.05,
        "accumulate": 2,
        "ema_decay": 0.5,
        "gradient_clip": 0.5,
        "recompute": True,
    }
    one, two = fit("one", **keys), fit("two", devices=2, **keys)
    assert_close(two, one)
    with pytest.raises(StoppedError):
        fit("stopped", devices=2, stop_after=3, **keys)
    assert not multiprocessing.active_children()
    resumed = fit("stopped", devices=2, **keys)
    assert resumed[1].digest == two[1].digest
    assert resumed[3] == two[3]
    # finished, it answers whatever the number of devices
    assert fit("stopped", devices=1, **keys)[1].digest == two[1].digest


def test_a_loss_with_statistics_of_the_batch_and_lars_are_equal_on_two_processes(fit):
    keys = {"optimizer": "lars", "learning_rate": 0.05, "loss": "vicreg"}
    assert_close(fit("two", devices=2, **keys), fit("one", **keys))


def test_what_a_training_process_tells_is_told_in_this_one_in_order():
    here, there = multiprocessing.Pipe(duplex=False)
    trained = Trained(b"weights", {"step": 2})
    for message in (("step", 1, 2), ("warning", "collapsing"), ("step", 2, 2), trained):
        there.send(message)
    there.close()
    process = SimpleNamespace(join=lambda: None, exitcode=0)
    told = []
    listeners = {"step": lambda *steps: told.append(steps), "warning": told.append}
    assert watch_processes([here], [process], listeners) == trained
    assert told == [(1, 2), "collapsing", (2, 2)]


class _Failing:
    """A source of cubes that fails, or ends its process, in a process that was started for training."""

    def __init__(self, cubes, how):
        self._cubes = cubes
        self._how = how

    def __len__(self):
        return len(self._cubes)

    def read(self, rows):
        if multiprocessing.parent_process() is not None and len(rows) < 8:
            self._how()
        return self._cubes.read(rows)


def _fail():
    raise ZeroDivisionError


def _die():
    os._exit(7)


@pytest.mark.parametrize(
    ("how", "message"), [(_fail, "failed: ZeroDivisionError"), (_die, "died with exit code 7")]
)
def test_a_process_that_fails_ends_the_training_with_its_reason(data, group_norm, tmp_path, how, message):
    broken = TrainingData(
        _Failing(data.cubes, how), data.training, data.held_out, data.voxel_size_nm, data.size_vx
    )
    train = TrainConfig(**{**KEYS, "batch_pairs": 2}, devices=2)
    with pytest.raises(TrainingError, match=message):
        train_encoder(broken, encoder=group_norm, train=train, folder=str(tmp_path), seed=0)
    assert not multiprocessing.active_children()


def test_batch_norms_are_shared_on_gpus_and_refused_on_cpus():
    batch, group = EncoderConfig(), EncoderConfig(norm="group")
    one, two = TrainConfig(), TrainConfig(devices=2)
    cpu, gpu = torch.device("cpu"), torch.device("cuda", 0)
    assert synchronises_batch_norm(batch, two, gpu)
    assert not synchronises_batch_norm(batch, one, gpu)
    assert not synchronises_batch_norm(group, two, gpu)
    assert not synchronises_batch_norm(group, two, cpu)
    with pytest.raises(TrainingError, match=r"on a CPU needs encoder\.norm group"):
        synchronises_batch_norm(batch, two, cpu)


def test_every_batch_norm_of_a_network_and_its_loss_becomes_a_shared_one(encoder_config):
    config = TrainConfig(loss="simsiam", devices=2)
    module = ContrastiveModule(
        build_network(encoder_config, seed=0),
        loss=build_loss(config, encoder_config, seed=0),
        config=config,
        voxel_size_nm=(8.0, 8.0, 8.0),
        size_vx=9,
        seed=0,
    )
    names = list(module.state_dict())
    n_norms = sum(isinstance(m, torch.nn.modules.batchnorm._BatchNorm) for m in module.modules())
    module = TorchSyncBatchNorm().apply(module)  # what Lightning does where it is asked to
    assert sum(isinstance(m, torch.nn.SyncBatchNorm) for m in module.modules()) == n_norms > 10
    assert list(module.state_dict()) == names


def test_more_devices_than_pairs_can_be_divided_among_are_refused():
    with pytest.raises(ValueError, match="batch_pairs 10 must divide evenly into 3 micro-batches"):
        TrainConfig(batch_pairs=10, accumulate=3)
    with pytest.raises(ValueError, match="of 2 pairs or more on 1 devices"):
        TrainConfig(batch_pairs=4, accumulate=4)
    assert TrainConfig(batch_pairs=4, accumulate=2, devices=2).devices == 2
