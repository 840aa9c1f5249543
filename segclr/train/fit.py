"""Training an encoder from start to end, or from where a run was stopped to the end."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment

from segclr import files
from segclr._version import __version__
from segclr.config import EncoderConfig, TrainConfig, decisive
from segclr.errors import RunMismatchError
from segclr.geometry import VoxelSize
from segclr.model import Encoder, build_network, resolve_device, resolve_precision
from segclr.train.checkpoints import CheckedCheckpoints, checkpoint_url, newest_checkpoint, remove_all_but
from segclr.train.datamodule import PairDataModule
from segclr.train.dataset import CubeSource, PairDataset, PairRows
from segclr.train.history import History
from segclr.train.module import ContrastiveModule
from segclr.train.watch import Watch

__all__ = ["TrainingData", "train_encoder"]

_KEPT_CHECKPOINTS = 2
_IDENTITY = "segclr_identity"  # key in the checkpoint
_LIGHTNING_PRECISION: dict[torch.dtype, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    torch.float32: "32-true",
    torch.bfloat16: "bf16-mixed",
    torch.float16: "16-mixed",
}

OnStep = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Stored cubes and the pairs among them.

    Attributes:
        cubes: stored cubes; their edge is ``size_vx`` plus twice the margin.
        training: pairs to learn from.
        held_out: pairs of other segments, to watch the training on; never learnt from.
        voxel_size_nm: nm (x, y, z) of a voxel.
        size_vx: edge of the cubes the encoder sees.
        watch: what to record of the training, besides what it always does.
    """

    cubes: CubeSource
    training: PairRows
    held_out: PairRows
    voxel_size_nm: VoxelSize
    size_vx: int
    watch: Watch = field(default_factory=Watch)

    @property
    def n_pairs(self) -> int:
        """Pairs on both sides."""
        return len(self.training) + len(self.held_out)


def train_encoder(
    data: TrainingData,
    *,
    encoder: EncoderConfig,
    train: TrainConfig,
    folder: str,
    seed: int,
    on_step: OnStep | None = None,
    on_warning: Callable[[str], None] | None = None,
) -> Encoder:
    """Train, or go on with the training that ``folder`` (any URL) holds.

    Writes ``checkpoints/`` and ``history.csv`` into the folder. Stopped at any moment and called again, it
    gives on a CPU, bit for bit, the weights and history of an undisturbed run. ``on_step`` is called with
    (steps done, steps in all), ``on_warning`` with what is wrong when the encoder begins to collapse, beside
    a ``CollapseWarning``.

    Raises:
        RunMismatchError: the folder holds checkpoints of another configuration, seed or set of pairs.
        TrainingError: the loss is not finite, or the pairs cannot make a batch.
    """
    identity = _identity(data, encoder, train, seed)
    checkpoints = files.join(folder, "checkpoints")
    found = newest_checkpoint(checkpoints)
    if found is not None:
        _refuse_other(identity, found[1].get(_IDENTITY), found[0])
    dataset = PairDataset(data.cubes, data.training, batch_pairs=train.batch_pairs, seed=seed)
    history = History(
        data.cubes,
        data.held_out,
        url=files.join(folder, "history.csv"),
        seed=seed,
        n_pairs=train.validation_pairs,
        watch=data.watch,
        on_warning=on_warning,
    )
    module = ContrastiveModule(
        build_network(encoder, seed=seed),
        config=train,
        voxel_size_nm=data.voxel_size_nm,
        size_vx=data.size_vx,
        seed=seed,
    )
    keeper = _Keeper(checkpoints, identity, on_step)
    with _quiet_lightning():
        trainer = _trainer(train, [history, keeper])
        with _interruptible():
            trainer.fit(
                module,
                datamodule=PairDataModule(dataset, steps=train.steps, num_workers=train.num_workers),
                ckpt_path=found[0] if found is not None else None,
            )
    history.write()  # a run stopped after its last checkpoint may lack the file
    summary = {
        "seed": seed,
        "segclr_version": __version__,
        "config": train.model_dump(mode="json"),
        "n_training_pairs": len(data.training),
        "n_held_out_pairs": len(data.held_out),
        "result": history.rows[-1],
    }
    network = module.network.cpu()
    return Encoder(encoder, network, voxel_size_nm=data.voxel_size_nm, size_vx=data.size_vx, training=summary)


class _Keeper(pl.Callback):
    """Reports progress and saves; stands last, so that a checkpoint holds the history up to its step."""

    def __init__(self, folder: str, identity: dict[str, Any], on_step: OnStep | None) -> None:
        self._folder = folder
        self._identity = identity
        self._on_step = on_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        config = pl_module.config
        assert isinstance(config, TrainConfig)
        step = trainer.global_step
        if step % config.checkpoint_every == 0 or step == config.steps:
            trainer.save_checkpoint(checkpoint_url(self._folder, step))
            remove_all_but(self._folder, keep=_KEPT_CHECKPOINTS)
        if self._on_step is not None:
            self._on_step(step, config.steps)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint[_IDENTITY] = self._identity


def _trainer(train: TrainConfig, callbacks: list[pl.Callback]) -> pl.Trainer:
    device = resolve_device()
    return pl.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1,
        precision=_LIGHTNING_PRECISION[resolve_precision(train.precision, device)],
        max_steps=train.steps,
        max_epochs=-1,
        gradient_clip_val=train.gradient_clip or None,
        callbacks=callbacks,
        plugins=[LightningEnvironment(), CheckedCheckpoints()],  # one process, also inside a SLURM job
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _identity(data: TrainingData, encoder: EncoderConfig, train: TrainConfig, seed: int) -> dict[str, Any]:
    """What a resumed run must share with the run it goes on with: plain values only."""
    pairs = [
        np.ascontiguousarray(column, dtype=np.int64).tobytes()
        for table in (data.training, data.held_out)
        for column in (table.rows_a, table.rows_b, table.groups)
    ]
    settings = {"encoder": decisive(encoder), "train": decisive(train)}
    flat = {f"{section}.{key}": value for section, keys in settings.items() for key, value in keys.items()}
    return {
        **flat,
        **{f"monitor.{key}": value for key, value in data.watch.identity().items()},
        "seed": seed,
        "size_vx": data.size_vx,
        "voxel_size_nm": [float(v) for v in data.voxel_size_nm],
        "n_cubes": len(data.cubes),
        "pairs_sha256": files.sha256(b"|".join(pairs)),
    }


def _refuse_other(wanted: dict[str, Any], found: Any, url: str) -> None:
    found = found if isinstance(found, dict) else {}
    differing = [
        f"{key} was {found.get(key)!r}, is now {wanted.get(key)!r}"
        for key in sorted(wanted.keys() | found.keys())
        if wanted.get(key) != found.get(key)
    ]
    if differing:
        msg = f"{url} belongs to another training: {'; '.join(differing)}; take another folder or delete it"
        raise RunMismatchError(msg)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C is a KeyboardInterrupt again: Lightning makes an exit of it and leaves the signal ignored."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as stopped:
        raise KeyboardInterrupt from stopped
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """No tips and device lists on the terminal, no advice to use more workers: progress is ``on_step``'s."""
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            # Lightning 2.6 calls what torch 2.13 deprecates
            warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated", category=FutureWarning)
            yield
    finally:
        logger.setLevel(level)
