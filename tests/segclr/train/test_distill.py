"""Distillation: the loss, what it learns, and that a stopped one goes on with the same bits."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch

from segclr.config import DistillConfig, EncoderConfig, MonitorConfig, TrainConfig
from segclr.errors import RunMismatchError, TrainingError
from segclr.model import Encoder
from segclr.train.checkpoints import checkpoint_url, read_checkpoint
from segclr.train.distill import distil_encoder, explained_share, regression_loss
from segclr.train.history import balanced_rows
from segclr.train.watch import Watch
from tests.segclr.train.conftest import MARGIN_VX, SIZE_VX

VOXEL_NM = (8.0, 8.0, 8.0)


def test_the_regression_is_the_squared_error_over_the_teachers_variance():
    random = np.random.default_rng(0)
    student, teacher = random.normal(size=(2, 7, 3))
    error = sum((student[i, d] - teacher[i, d]) ** 2 for i in range(7) for d in range(3))
    spread = sum((teacher[i, d] - np.mean(teacher[:, d])) ** 2 for i in range(7) for d in range(3))
    loss = regression_loss(torch.from_numpy(student), torch.from_numpy(teacher))
    assert float(loss) == pytest.approx(error / spread, rel=1e-12)
    assert explained_share(torch.from_numpy(student), torch.from_numpy(teacher)) == pytest.approx(
        1 - error / spread
    )


def test_an_equal_student_explains_all_and_the_mean_nothing():
    teacher = torch.rand(9, 4, dtype=torch.float64)
    assert explained_share(teacher, teacher) == 1
    assert explained_share(teacher.mean(dim=0).expand(9, 4), teacher) == pytest.approx(0)


@pytest.fixture
def teacher():
    config = EncoderConfig(depth=18, width=0.25, stem="medium", heads="light")
    return Encoder.untrained(config, voxel_size_nm=VOXEL_NM, size_vx=SIZE_VX, seed=7)


@pytest.fixture
def distil(data, encoder_config, train_config, teacher):
    def go(folder, *, on_step=None, **changes):
        options = {
            "teacher": teacher,
            "encoder": encoder_config,
            "train": train_config,
            "distill": DistillConfig(teacher="runs/t"),
            "seed": 3,
        }
        return distil_encoder(data, folder=str(folder), on_step=on_step, **{**options, **changes})

    return go


@pytest.mark.parametrize("heads", ["light", "published"])
def test_a_student_comes_to_tell_what_the_teacher_says(
    distil, tmp_path, train_config, teacher, encoder_config, heads
):
    before = teacher.digest
    train = train_config.model_copy(update={"steps": 40, "validate_every": 10, "learning_rate": 0.01})
    encoder = distil(tmp_path, train=train, encoder=encoder_config.model_copy(update={"heads": heads}))
    rows = list(csv.DictReader((tmp_path / "history.csv").read_text().splitlines()))
    assert float(rows[-1]["regression"]) < 0.7 * float(rows[1]["regression"])
    assert encoder.training["teacher_digest"] == before == teacher.digest
    assert encoder.training["result"]["explained"] == pytest.approx(float(rows[-1]["explained"]))


def test_the_student_answers_in_the_teachers_units(distil, tmp_path, data, teacher):
    """What the last row of the history tells is true of the encoder that comes out."""
    chosen = balanced_rows(data.held_out.groups, 8, seed=3)
    rows = np.concatenate([data.held_out.rows_a[chosen], data.held_out.rows_b[chosen]])
    cubes = data.cubes.read(rows)[:, MARGIN_VX:-MARGIN_VX, MARGIN_VX:-MARGIN_VX, MARGIN_VX:-MARGIN_VX]
    encoder = distil(tmp_path)
    student, wanted = (torch.from_numpy(which.embed(cubes, device="cpu")) for which in (encoder, teacher))
    assert explained_share(student, wanted) == pytest.approx(
        encoder.training["result"]["explained"], rel=1e-3
    )


@pytest.mark.parametrize("stop", [3, 6])
def test_stopped_and_started_again_it_gives_the_same_bits(distil, tmp_path, stop):
    class StoppedError(Exception):
        pass

    def stop_there(step, _total):
        if step == stop:
            raise StoppedError

    undisturbed = distil(tmp_path / "a")
    with pytest.raises(StoppedError):
        distil(tmp_path / "b", on_step=stop_there)
    resumed = distil(tmp_path / "b")
    assert resumed.digest == undisturbed.digest
    assert (tmp_path / "a/history.csv").read_bytes() == (tmp_path / "b/history.csv").read_bytes()
    finished = distil(tmp_path / "b", on_step=stop_there)  # nothing is left to do
    assert finished.digest == undisturbed.digest


def test_another_teacher_or_weight_is_refused_in_the_same_folder(distil, tmp_path, teacher):
    distil(tmp_path)
    other = Encoder.untrained(teacher.config, voxel_size_nm=VOXEL_NM, size_vx=SIZE_VX, seed=8)
    with pytest.raises(RunMismatchError, match="teacher was"):
        distil(tmp_path, teacher=other)
    with pytest.raises(RunMismatchError, match=r"distill.contrastive_weight was 0\.1, is now 0\.5"):
        distil(tmp_path, distill=DistillConfig(teacher="runs/t", contrastive_weight=0.5))


@pytest.mark.parametrize(
    ("size_vx", "voxel_size_nm", "dim", "words"),
    [
        (SIZE_VX + 2, VOXEL_NM, 64, "cubes of 11 voxels"),
        (SIZE_VX, (8.0, 8.0, 40.0), 64, r"\(8\.0, 8\.0, 40\.0\) nm"),
        (SIZE_VX, VOXEL_NM, 32, "set encoder.embedding_dim to that, got 64"),
    ],
)
def test_a_teacher_of_other_cubes_or_length_is_refused(distil, tmp_path, size_vx, voxel_size_nm, dim, words):
    config = EncoderConfig(depth=10, width=0.125, stem="medium", heads="light", embedding_dim=dim)
    other = Encoder.untrained(config, voxel_size_nm=voxel_size_nm, size_vx=size_vx, seed=0)
    with pytest.raises(TrainingError, match=words):
        distil(tmp_path, teacher=other)
    assert not list(tmp_path.iterdir())


def test_a_loss_that_is_not_finite_stops_it_and_leaves_no_checkpoint(distil, tmp_path, train_config):
    train = train_config.model_copy(update={"learning_rate": 1e30, "warmup_steps": 0, "checkpoint_every": 8})
    with pytest.raises(TrainingError, match="the loss of step"):
        distil(tmp_path, train=train)
    assert not list(tmp_path.glob("checkpoints/*"))


def test_weights_that_are_not_finite_are_never_saved_and_it_goes_on_from_the_last_good_ones(
    distil, tmp_path, monkeypatch
):
    """The loss of step 4 is still finite; what the optimiser makes of its gradient is not."""
    undisturbed = distil(tmp_path / "a")
    step = torch.optim.AdamW.step
    n_steps = 0

    def breaking(optimizer, *args):
        nonlocal n_steps
        result = step(optimizer, *args)
        n_steps += 1
        if n_steps == 4:
            with torch.no_grad():
                optimizer.param_groups[0]["params"][0].fill_(torch.nan)
        return result

    monkeypatch.setattr(torch.optim.AdamW, "step", breaking)
    with pytest.raises(TrainingError, match="not finite after step 4; the last checkpoint is kept"):
        distil(tmp_path / "b")
    monkeypatch.undo()
    assert [p.name for p in (tmp_path / "b/checkpoints").glob("*.ckpt")] == ["step-00000002.ckpt"]
    assert distil(tmp_path / "b").digest == undisturbed.digest


def test_the_student_is_the_running_mean_of_its_weights(distil, tmp_path, train_config):
    decay = 0.6
    train = train_config.model_copy(update={"ema_decay": decay, "checkpoint_every": 1})
    mean = {}

    def take(step, _total):
        weights = read_checkpoint(checkpoint_url(str(tmp_path / "checkpoints"), step))["state_dict"]
        for name, tensor in weights.items():
            if name.startswith("network.") and tensor.is_floating_point():
                key = name.removeprefix("network.")
                mean[key] = decay * mean[key] + (1 - decay) * tensor if key in mean else tensor

    network = distil(tmp_path, train=train, on_step=take).network
    student = network.state_dict()
    *_, weight, bias = (f"bottleneck.{name}" for name, _ in network.bottleneck.named_parameters())
    for name in mean.keys() - {weight, bias}:  # but for the last layer, which is in the teacher's units
        assert torch.allclose(student[name], mean[name], atol=1e-6), name
    plain = distil(tmp_path / "plain").network.state_dict()
    assert not all(torch.allclose(plain[name], student[name], atol=1e-6) for name in mean)


@pytest.mark.parametrize("keys", [{"ema_decay": 0.8}, {"accumulate": 2, "optimizer": "lars"}])
def test_going_on_is_exact_with_a_running_mean_and_micro_batches(distil, tmp_path, train_config, keys):
    class StoppedError(Exception):
        pass

    def stop_there(step, _total):
        if step == 5:
            raise StoppedError

    train = TrainConfig.model_validate({**train_config.model_dump(), "batch_pairs": 6, **keys})
    undisturbed = distil(tmp_path / "a", train=train)
    with pytest.raises(StoppedError):
        distil(tmp_path / "b", train=train, on_step=stop_there)
    assert distil(tmp_path / "b", train=train).digest == undisturbed.digest
    assert (tmp_path / "a/history.csv").read_bytes() == (tmp_path / "b/history.csv").read_bytes()


def test_micro_batches_of_a_student_without_batch_statistics_average_their_losses(
    distil, tmp_path, train_config, encoder_config
):
    """The first step's loss is that of the untrained student, so the mean of thirds can be told from one."""
    encoder = encoder_config.model_copy(update={"norm": "group"})
    train = train_config.model_copy(update={"batch_pairs": 6, "steps": 1})
    distill = DistillConfig(teacher="runs/t", regression_weight=0)
    rows = []
    for name, accumulate in (("whole", 1), ("thirds", 3)):
        keys = train.model_copy(update={"accumulate": accumulate})
        distil(tmp_path / name, train=keys, encoder=encoder, distill=distill)
        rows.append(list(csv.DictReader((tmp_path / name / "history.csv").read_text().splitlines()))[1])
    whole, thirds = rows
    assert float(thirds["loss"]) < float(whole["loss"])  # fewer negatives, a smaller sum below the line
    assert float(thirds["loss"]) == pytest.approx(0.1 * float(thirds["contrast"]))


def test_computing_activations_twice_changes_no_bit_of_the_student(distil, tmp_path, train_config):
    twice = train_config.model_copy(update={"recompute": True})
    assert distil(tmp_path / "a").digest == distil(tmp_path / "b", train=twice).digest


@pytest.mark.parametrize(
    ("train", "monitor", "words"),
    [
        ({"loss": "vicreg"}, {}, "train.loss is vicreg, allowed nt_xent"),
        ({"loss": "simsiam"}, {}, "train.loss is simsiam"),
        ({"devices": 2}, {}, "train.devices is 2, allowed 1"),
        ({}, {"probe_every": 5}, "monitor.probe_every is 5, allowed 0"),
        ({}, {"tensorboard": True}, "monitor.tensorboard is True, allowed False"),
    ],
)
def test_keys_that_it_has_no_use_for_are_refused_by_name(
    data, teacher, encoder_config, train_config, tmp_path, train, monitor, words
):
    watched = replace(data, watch=Watch(config=MonitorConfig(**monitor)))
    with pytest.raises(TrainingError, match=words):
        distil_encoder(
            watched,
            teacher=teacher,
            encoder=encoder_config,
            train=train_config.model_copy(update=train),
            distill=DistillConfig(teacher="runs/t"),
            folder=str(tmp_path),
            seed=3,
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [0.0, 1e20, float("nan")])
def test_a_teacher_that_says_the_same_of_everything_is_named(distil, tmp_path, teacher, value):
    *_, weight, bias = teacher.network.bottleneck.parameters()
    with torch.no_grad():
        weight.zero_()
        bias.fill_(value)
    with pytest.raises(TrainingError, match="the teacher has nothing to teach"):
        distil(tmp_path, teacher=teacher)
    assert not list(tmp_path.iterdir())


def test_full_memory_is_told_with_advice(distil, tmp_path, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError

    monkeypatch.setattr("segclr.model.loss.NtXent.__call__", full)
    with pytest.raises(TrainingError, match=r"micro-batch of 5 pairs does not fit.*accumulate \(1\)"):
        distil(tmp_path)
