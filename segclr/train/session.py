"""One process's part in a training: Lightning's trainer, what it saves, what comes out."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment

from segclr import files
from segclr.config import EncoderConfig, TrainConfig
from segclr.errors import TrainingError
from segclr.model import build_network, resolve_device
from segclr.model.loss import build_loss
from segclr.model.weights import weights_to_bytes
from segclr.train.checkpoints import CheckedCheckpoints, checkpoint_url, remove_all_but
from segclr.train.data import TrainingData
from segclr.train.datamodule import PairDataModule
from segclr.train.dataset import PairDataset
from segclr.train.history import History
from segclr.train.look import Row
from segclr.train.module import ContrastiveModule, own_pairs
from segclr.train.precision import resolve_training_precision

__all__ = [
    "IDENTITY",
    "OnStep",
    "OnWarning",
    "Session",
    "Trained",
    "checkpoint_folder",
    "run_session",
    "synchronises_batch_norm",
]

IDENTITY = "segclr_identity"
"""Key in a checkpoint: what decides the weights."""

_KEPT_CHECKPOINTS = 2
_LIGHTNING_PRECISION: dict[torch.dtype, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    torch.float32: "32-true",
    torch.bfloat16: "bf16-mixed",
    torch.float16: "16-mixed",
}

OnStep = Callable[[int, int], None]
OnWarning = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Session:
    """A training as every process of it is told.

    Attributes:
        data: what to learn from.
        encoder: architecture.
        train: how to learn.
        folder: URL that checkpoints and history go to.
        seed: of everything random.
        identity: goes into every checkpoint.
        resume: URL of the checkpoint to go on from, or None.
    """

    data: TrainingData
    encoder: EncoderConfig
    train: TrainConfig
    folder: str
    seed: int
    identity: dict[str, Any]
    resume: str | None


@dataclass(frozen=True)
class Trained:
    """What a finished training hands out: the weights as safetensors, and the last row of its history."""

    weights: bytes
    result: Row


def checkpoint_folder(folder: str) -> str:
    """Where a training in ``folder`` keeps its checkpoints."""
    return files.join(folder, "checkpoints")


def run_session(
    session: Session, *, rank: int, on_step: OnStep | None, on_warning: OnWarning | None = None
) -> Trained:
    """Train to the end in this process, one of ``train.devices``; the first alone writes and reports."""
    train, data, seed = session.train, session.data, session.seed
    history = History(
        data.cubes,
        data.held_out,
        url=files.join(session.folder, "history.csv"),
        seed=seed,
        n_pairs=train.validation_pairs,
        watch=data.watch,
        on_warning=on_warning,
    )
    module = ContrastiveModule(
        build_network(session.encoder, seed=seed),
        loss=build_loss(train, session.encoder, seed=seed),
        config=train,
        voxel_size_nm=data.voxel_size_nm,
        size_vx=data.size_vx,
        seed=seed,
    )
    own = own_pairs(train.batch_pairs, accumulate=train.accumulate, rank=rank, n_processes=train.devices)
    dataset = PairDataset(data.cubes, data.training, batch_pairs=train.batch_pairs, seed=seed, own=tuple(own))
    keeper = _Keeper(checkpoint_folder(session.folder), session.identity, on_step)
    with _quiet_lightning():
        trainer = _trainer(session, module, [history, keeper] if rank == 0 else [keeper])
        with _interruptible():
            trainer.fit(
                module,
                datamodule=PairDataModule(dataset, steps=train.steps, num_workers=train.num_workers),
                ckpt_path=session.resume,
            )
    if rank > 0:
        return Trained(b"", {})
    history.write()  # a run stopped after its last checkpoint may lack the file
    return Trained(weights_to_bytes(module.encoder_network), history.rows[-1])


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
            trainer.save_checkpoint(checkpoint_url(self._folder, step))  # all processes; the first writes
            if trainer.is_global_zero:
                remove_all_but(self._folder, keep=_KEPT_CHECKPOINTS)
        if self._on_step is not None:
            self._on_step(step, config.steps)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint[IDENTITY] = self._identity


def _trainer(session: Session, module: ContrastiveModule, callbacks: list[pl.Callback]) -> pl.Trainer:
    train = session.train
    device = resolve_device()
    dtype = resolve_training_precision(
        train.precision, device, backbone=module.network.backbone, size_vx=session.data.size_vx
    )
    if device.type == "cuda" and train.devices > torch.cuda.device_count():
        msg = f"train.devices is {train.devices}, but this machine has {torch.cuda.device_count()} GPUs"
        raise TrainingError(msg)
    return pl.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=train.devices,
        strategy="auto" if train.devices == 1 else "ddp",
        sync_batchnorm=synchronises_batch_norm(session.encoder, train, device),
        precision=_LIGHTNING_PRECISION[dtype],
        max_steps=train.steps,
        max_epochs=-1,
        callbacks=callbacks,
        plugins=[LightningEnvironment(), CheckedCheckpoints()],  # also inside a SLURM job
        use_distributed_sampler=False,  # every process reads its own pairs of each batch
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def synchronises_batch_norm(encoder: EncoderConfig, train: TrainConfig, device: torch.device) -> bool:
    """Whether batch norms share their statistics between processes: always where there are several.

    Raises:
        TrainingError: PyTorch cannot: its SyncBatchNorm is for GPUs only.
    """
    if train.devices == 1 or encoder.norm == "group":
        return False
    if device.type != "cuda":
        msg = (
            f"train.devices {train.devices} on a CPU needs encoder.norm group: batch statistics are shared "
            "between processes on GPUs only"
        )
        raise TrainingError(msg)
    return True


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
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            # on a machine with SLURM's commands; processes are started by us, whatever the scheduler
            warnings.filterwarnings("ignore", message=".*`srun` command is available.*")
            # the first process alone keeps the history
            warnings.filterwarnings("ignore", message=".*callbacks used to create the checkpoint.*")
            # Lightning 2.6 calls what torch 2.13 deprecates
            warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated", category=FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
