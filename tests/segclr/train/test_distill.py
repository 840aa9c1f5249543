"""Distillation: the loss, what it learns, and that a stopped one goes on with the same bits."""

import csv

import numpy as np
import pytest
import torch

from segclr.config import DistillConfig, EncoderConfig
from segclr.errors import RunMismatchError, TrainingError
from segclr.model import Encoder
from segclr.train.distill import distil_encoder, explained_share, regression_loss
from segclr.train.history import balanced_rows
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
