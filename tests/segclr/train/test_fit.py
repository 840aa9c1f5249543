"""Training as a whole: learning, stopping, going on."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from segclr.config import AugmentConfig
from segclr.errors import RunMismatchError, TrainingError
from segclr.model import Encoder, load_encoder
from segclr.train import train_encoder
from segclr.train.history import balanced_rows
from segclr.train.monitor import effective_rank
from segclr.train.pair_retrieval import pair_retrieval


class StoppedError(Exception):
    pass


def history(folder):
    with (Path(folder) / "history.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture
def fit(data, encoder_config, train_config):
    def run(folder, *, stop_after=None, encoder=encoder_config, train=train_config, seed=3):
        def on_step(step, steps):
            assert steps == train.steps
            if step == stop_after:
                raise StoppedError

        return train_encoder(
            data, encoder=encoder, train=train, folder=str(folder), seed=seed, on_step=on_step
        )

    return run


def test_a_run_stopped_again_and_again_equals_an_undisturbed_run(fit, tmp_path):
    undisturbed = fit(tmp_path / "a")
    for step in (1, 3, 4, 7):  # before the first checkpoint, after one, at one, in between
        with pytest.raises(StoppedError):
            fit(tmp_path / "b", stop_after=step)
    resumed = fit(tmp_path / "b")
    assert resumed.digest == undisturbed.digest
    assert (tmp_path / "a/history.csv").read_bytes() == (tmp_path / "b/history.csv").read_bytes()
    assert resumed.training == undisturbed.training


def test_a_killed_process_goes_on_to_the_same_end(data, encoder_config, train_config, tmp_path):
    script = tmp_path / "run.py"
    here = Path(__file__).parent
    script.write_text(
        "import importlib.util, os, signal, sys, torch\n"
        f"spec = importlib.util.spec_from_file_location('toy', {str(here / 'conftest.py')!r})\n"
        "toy = importlib.util.module_from_spec(spec); spec.loader.exec_module(toy)\n"
        "from segclr.train import train_encoder\n"
        "torch.set_num_threads(1)\n"
        "def on_step(step, steps):\n"
        "    if step == 5: os.kill(os.getpid(), signal.SIGKILL)\n"
        "d, e, t = (getattr(toy, n).__wrapped__() for n in ('data', 'encoder_config', 'train_config'))\n"
        f"train_encoder(d, encoder=e, train=t, folder={str(tmp_path / 'b')!r}, seed=3, on_step=on_step)\n"
    )
    killed = subprocess.run([sys.executable, str(script)], env={**os.environ}, check=False)
    assert killed.returncode == -signal.SIGKILL
    wanted = train_encoder(
        data, encoder=encoder_config, train=train_config, folder=str(tmp_path / "a"), seed=3
    )
    found = train_encoder(
        data, encoder=encoder_config, train=train_config, folder=str(tmp_path / "b"), seed=3
    )
    assert found.digest == wanted.digest
    assert (tmp_path / "a/history.csv").read_bytes() == (tmp_path / "b/history.csv").read_bytes()


def test_a_finished_run_answers_without_training_again(fit, tmp_path):
    first = fit(tmp_path)
    assert fit(tmp_path, stop_after=8).digest == first.digest


def test_an_unreadable_newest_checkpoint_falls_back_to_the_older(fit, tmp_path):
    wanted = fit(tmp_path / "a")
    with pytest.raises(StoppedError):
        fit(tmp_path / "b", stop_after=6)
    newest = tmp_path / "b/checkpoints/step-00000006.ckpt"
    newest.write_bytes(newest.read_bytes()[:1000])
    with pytest.warns(UserWarning, match="step-00000006"):
        assert fit(tmp_path / "b").digest == wanted.digest


def test_the_newest_two_checkpoints_are_kept(fit, tmp_path):
    fit(tmp_path)
    assert sorted(p.name for p in (tmp_path / "checkpoints").glob("*.ckpt")) == [
        "step-00000006.ckpt",
        "step-00000008.ckpt",
    ]


def test_training_begins_from_the_untrained_encoder_of_the_same_seed(fit, data, encoder_config, tmp_path):
    with pytest.raises(StoppedError):
        fit(tmp_path, stop_after=1)
    encoder = Encoder.untrained(encoder_config, voxel_size_nm=data.voxel_size_nm, size_vx=9, seed=3)
    chosen = balanced_rows(data.held_out.groups, 8, seed=3)
    rows = np.concatenate([data.held_out.rows_a[chosen], data.held_out.rows_b[chosen]])
    inner = slice(2, 11)
    cubes = data.cubes.read(rows)[:, inner, inner, inner]
    embeddings = torch.from_numpy(encoder.embed(cubes, device="cpu"))
    first = history(tmp_path)[0]
    assert first["step"] == "0"
    assert float(first["effective_rank"]) == pytest.approx(effective_rank(embeddings), rel=1e-4)
    groups = torch.from_numpy(data.held_out.groups[chosen])
    assert float(first["top1"]) == pytest.approx(pair_retrieval(*embeddings.chunk(2), groups).top1)


def test_the_history_has_a_row_for_each_look_and_the_last_step(fit, tmp_path):
    fit(tmp_path)
    rows = history(tmp_path)
    assert [row["step"] for row in rows] == ["0", "3", "6", "8"]
    assert list(rows[0])[:4] == ["step", "loss", "learning_rate", "top1"]
    assert list(rows[0])[-1] == "collapse"
    assert all(0 <= float(row["top1"]) <= 1 for row in rows)


def test_training_learns_to_tell_cells_apart(fit, train_config, tmp_path):
    plain = AugmentConfig(
        axis_permutations=False, flips=False, contrast=(1, 1), brightness=(0, 0), log2_gamma=(0, 0)
    )
    train = train_config.model_copy(
        update={"steps": 60, "learning_rate": 3e-3, "validate_every": 20, "augment": plain}
    )
    fit(tmp_path, train=train)
    losses = [float(row["loss"]) for row in history(tmp_path)[1:]]
    assert losses[-1] < losses[0] / 2


def test_another_configuration_or_seed_is_refused_with_the_keys_named(fit, train_config, tmp_path):
    with pytest.raises(StoppedError):
        fit(tmp_path, stop_after=2)
    other = train_config.model_copy(update={"temperature": 0.2})
    with pytest.raises(RunMismatchError, match=r"train.temperature was 0.1, is now 0.2"):
        fit(tmp_path, train=other)
    with pytest.raises(RunMismatchError, match="seed was 3, is now 4"):
        fit(tmp_path, seed=4)


def test_the_number_of_workers_and_of_checkpoints_changes_nothing(fit, train_config, tmp_path):
    other = train_config.model_copy(update={"num_workers": 1, "checkpoint_every": 3})
    assert fit(tmp_path / "a").digest == fit(tmp_path / "b", train=other).digest


def test_a_loss_that_is_not_finite_keeps_the_last_good_checkpoint(fit, train_config, tmp_path, monkeypatch):
    with pytest.raises(StoppedError):
        fit(tmp_path, stop_after=4)
    before = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    monkeypatch.setattr("segclr.train.module.NtXent.__call__", lambda *_: torch.tensor(torch.nan))
    with pytest.raises(TrainingError, match="the loss of step 4 is nan"):
        fit(tmp_path)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == before


def test_a_trained_encoder_saves_and_loads_with_its_summary(fit, tmp_path):
    encoder = fit(tmp_path)
    encoder.save(str(tmp_path / "encoder"))
    loaded = load_encoder(str(tmp_path / "encoder"))
    assert loaded.digest == encoder.digest
    assert loaded.training["config"]["steps"] == 8
    assert loaded.training["result"]["step"] == 8


def test_nothing_but_checkpoints_and_history_is_written(fit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit(tmp_path / "run")
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["checkpoints", "history.csv"]
