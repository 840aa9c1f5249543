"""Training as a whole: learning, stopping, going on."""

import contextlib
import csv
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from segclr.config import AugmentConfig, TrainConfig
from segclr.errors import CorruptDataError, RunMismatchError, TrainingError
from segclr.model import Encoder, load_encoder
from segclr.train import train_encoder
from segclr.train.checkpoints import CheckedCheckpoints, checkpoint_url, read_checkpoint
from segclr.train.history import balanced_rows
from segclr.train.monitor import effective_rank
from segclr.train.pair_retrieval import pair_retrieval


def assert_equal(found, wanted):
    """Nested plain values and tensors, bit for bit."""
    if isinstance(wanted, torch.Tensor):
        assert torch.equal(found, wanted)
    elif isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        for key in wanted:
            assert_equal(found[key], wanted[key])
    elif isinstance(wanted, list):
        assert len(found) == len(wanted)
        for a, b in zip(found, wanted, strict=True):
            assert_equal(a, b)
    else:
        assert found == wanted


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


@pytest.mark.parametrize(
    "keys",
    [
        {"optimizer": "lars", "learning_rate": 0.05, "accumulate": 2, "ema_decay": 0.8},
        {"optimizer": "sgd", "loss": "decoupled", "gradient_clip": 0.1},
        {"loss": "simsiam", "accumulate": 3, "ema_decay": 0.5, "recompute": True},
        {"loss": "vicreg", "ema_decay": 0.9},
    ],
    ids=lambda keys: "-".join(map(str, keys.values())),
)
def test_resuming_is_exact_with_every_loss_and_optimiser(fit, train_config, tmp_path, keys):
    train = TrainConfig.model_validate({**train_config.model_dump(), "batch_pairs": 12, **keys})
    undisturbed = fit(tmp_path / "a", train=train)
    for step in (1, 3, 5):
        with pytest.raises(StoppedError):
            fit(tmp_path / "b", train=train, stop_after=step)
    resumed = fit(tmp_path / "b", train=train)
    assert resumed.digest == undisturbed.digest
    assert (tmp_path / "a/history.csv").read_bytes() == (tmp_path / "b/history.csv").read_bytes()
    last = [read_checkpoint(checkpoint_url(str(tmp_path / name / "checkpoints"), 8)) for name in "ab"]
    assert_equal(last[0]["state_dict"], last[1]["state_dict"])
    assert_equal(last[0]["optimizer_states"], last[1]["optimizer_states"])
    assert_equal(last[0]["lr_schedulers"], last[1]["lr_schedulers"])


def test_resuming_is_exact_in_bfloat16(fit, encoder_config, train_config, tmp_path):
    encoder = encoder_config.model_copy(update={"stages": 1})  # on maps of 3 voxels, not fewer
    train = train_config.model_copy(update={"precision": "bfloat16", "gradient_clip": 0.5})
    undisturbed = fit(tmp_path / "a", encoder=encoder, train=train)
    with pytest.raises(StoppedError):
        fit(tmp_path / "b", encoder=encoder, train=train, stop_after=5)
    assert fit(tmp_path / "b", encoder=encoder, train=train).digest == undisturbed.digest


def test_computing_activations_twice_changes_no_bit(fit, train_config, tmp_path):
    twice = train_config.model_copy(update={"recompute": True})
    assert fit(tmp_path / "a").digest == fit(tmp_path / "b", train=twice).digest


def test_the_exported_encoder_is_the_running_mean_of_the_weights(fit, train_config, tmp_path):
    decay = 0.6
    train = train_config.model_copy(update={"ema_decay": decay, "checkpoint_every": 1})
    mean = {}
    folder = str(tmp_path / "checkpoints")
    for step in range(1, 9):
        with contextlib.suppress(StoppedError):
            encoder = fit(tmp_path, train=train, stop_after=step)
        weights = read_checkpoint(checkpoint_url(folder, step))["state_dict"]
        for name, tensor in weights.items():
            if name.startswith("network.") and tensor.is_floating_point():
                key = name.removeprefix("network.")
                mean[key] = decay * mean[key] + (1 - decay) * tensor if key in mean else tensor
    encoder = fit(tmp_path, train=train)
    exported = encoder.network.state_dict()
    assert mean.keys() <= exported.keys()
    for name, tensor in mean.items():
        assert torch.allclose(exported[name], tensor, atol=1e-6), name
    assert not all(torch.equal(exported[n], weights[f"network.{n}"]) for n in mean)


def test_one_micro_batch_a_step_is_the_plain_step_and_two_see_other_negatives(fit, train_config, tmp_path):
    train = train_config.model_copy(update={"batch_pairs": 6})
    plain = fit(tmp_path / "a", train=train)
    divided = fit(tmp_path / "b", train=train.model_copy(update={"accumulate": 2}))
    assert plain.digest != divided.digest
    first = [float(history(tmp_path / name)[1]["loss"]) for name in "ab"]
    assert first[1] < first[0]  # fewer negatives, a smaller sum below the line


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


def test_other_cubes_under_the_same_pairs_are_refused_by_their_digest(
    data, encoder_config, train_config, tmp_path
):
    def stop(step, _total):
        if step == 2:
            raise StoppedError

    def go(cubes_digest, on_step=None):
        told = replace(data, cubes_digest=cubes_digest)
        return train_encoder(
            told, encoder=encoder_config, train=train_config, folder=str(tmp_path), seed=3, on_step=on_step
        )

    with pytest.raises(StoppedError):
        go("a", stop)
    with pytest.raises(RunMismatchError, match="cubes_digest was 'a', is now 'b'"):
        go("b")
    assert go("a").training["result"]["step"] == 8


def test_a_loss_that_is_not_finite_keeps_the_last_good_checkpoint(fit, train_config, tmp_path, monkeypatch):
    with pytest.raises(StoppedError):
        fit(tmp_path, stop_after=4)
    before = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    monkeypatch.setattr("segclr.model.loss.NtXent.__call__", lambda *_: torch.tensor(torch.nan))
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


def contents(folder):
    return {p.name: p.read_bytes() for p in Path(folder).iterdir()}


def test_where_no_finished_checkpoint_can_be_read_nothing_is_written_over(fit, tmp_path):
    with pytest.raises(StoppedError):
        fit(tmp_path, stop_after=2)
    folder = tmp_path / "checkpoints"
    only = folder / "step-00000002.ckpt"
    only.write_bytes(only.read_bytes()[:500])
    before = contents(folder)
    with (
        pytest.warns(UserWarning, match="fails its checksum"),
        pytest.raises(CorruptDataError, match="no older one; delete"),
    ):
        fit(tmp_path)
    assert contents(folder) == before


def test_a_checkpoint_of_another_architecture_is_refused_and_kept(fit, encoder_config, tmp_path):
    with pytest.raises(StoppedError):
        fit(tmp_path, stop_after=2)
    folder = tmp_path / "checkpoints"
    before = contents(folder)
    wider = encoder_config.model_copy(update={"width": 0.25})
    with pytest.raises(RunMismatchError, match=r"encoder.width was 0.125, is now 0.25"):
        fit(tmp_path, encoder=wider)
    assert contents(folder) == before
    url = checkpoint_url(str(folder), 2)  # same configuration, but other weights: of other code
    checkpoint = read_checkpoint(url)
    kept = checkpoint["state_dict"].pop("network.bottleneck.layers.0.weight")
    checkpoint["state_dict"]["network.old"] = kept
    CheckedCheckpoints().save_checkpoint(checkpoint, url)
    before = contents(folder)
    message = "another architecture: network.bottleneck.layers.0.weight is missing, allowed .16, 64."
    with pytest.raises(RunMismatchError, match=message):
        fit(tmp_path)
    assert contents(folder) == before


def test_full_memory_is_told_with_advice_and_the_last_checkpoint_is_kept(fit, tmp_path, monkeypatch):
    with pytest.raises(StoppedError):
        fit(tmp_path, stop_after=4)
    before = contents(tmp_path / "checkpoints")

    def full(*_):
        raise torch.OutOfMemoryError

    monkeypatch.setattr("segclr.model.loss.NtXent.__call__", full)
    with pytest.raises(TrainingError, match=r"micro-batch of 5 pairs does not fit.*accumulate \(1\)"):
        fit(tmp_path)
    assert contents(tmp_path / "checkpoints") == before
    monkeypatch.undo()
    assert fit(tmp_path).training["result"]["step"] == 8
