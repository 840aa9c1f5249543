"""Distilling a big encoder into a small one: inference over billions of cubes costs more than any training.

The student sees the same random views as the teacher and learns to answer the teacher's embedding, while a
contrastive loss between the two views of a pair keeps what the regression alone would average away.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from segclr import files
from segclr._version import __version__
from segclr.config import DistillConfig, EncoderConfig, TrainConfig
from segclr.errors import TrainingError
from segclr.model import Encoder, build_network, encode, resolve_device
from segclr.model.loss import build_loss
from segclr.train.augment import center_views
from segclr.train.batch import PairBatch
from segclr.train.checkpoints import CheckedCheckpoints, checkpoint_url, newest_checkpoint, remove_all_but
from segclr.train.data import TrainingData
from segclr.train.datamodule import StepSampler
from segclr.train.dataset import PairDataset
from segclr.train.history import balanced_rows
from segclr.train.identity import refuse_other, training_identity
from segclr.train.look import Row, look_at
from segclr.train.module import ContrastiveModule, advice_when_out_of_memory, own_pairs
from segclr.train.optimizer import make_optimizer
from segclr.train.pair_retrieval import pair_retrieval
from segclr.train.precision import resolve_training_precision
from segclr.train.session import OnStep

__all__ = ["distil_encoder", "explained_share", "regression_loss"]

_IDENTITY = "segclr_distillation"  # key in the checkpoint
_KEPT_CHECKPOINTS = 2
_BATCH_SIZE = 64
_LEAST_SPREAD = 1e-6  # of the largest number: what float32 rounds
_SIZE_TOLERANCE = 0.05  # 32 and 33 nm count as equal, as for stored scales


def regression_loss(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Squared error of embeddings [n, d] over the teacher's spread in the batch: 0 equal, 1 its mean."""
    spread = (teacher - teacher.mean(dim=0)).square().sum()
    return (student - teacher).square().sum() / spread.clamp_min(torch.finfo(spread.dtype).tiny)


def explained_share(student: torch.Tensor, teacher: torch.Tensor) -> float:
    """Share of the teacher's variance that the student's embeddings [n, d] tell (R^2); 1 is all."""
    return 1.0 - float(regression_loss(student.double(), teacher.double()))


def distil_encoder(
    data: TrainingData,
    *,
    teacher: Encoder,
    encoder: EncoderConfig,
    train: TrainConfig,
    distill: DistillConfig,
    folder: str,
    seed: int,
    on_step: OnStep | None = None,
) -> Encoder:
    """Distil, or go on with the distillation that ``folder`` (any URL) holds.

    ``train`` means what it means for ``train_encoder``; with ``accumulate`` the teacher's spread too, which
    the regression is divided by, is that of a micro-batch. What would not be used is refused.

    Writes ``checkpoints/`` and ``history.csv`` into the folder. Stopped at any moment and called again, it
    gives on a CPU the same bits as an undisturbed one.

    Raises:
        TrainingError: teacher and data or student do not fit, the teacher says the same of everything,
            the loss or weights are not finite, memory is full, or keys are set that would not be used.
        RunMismatchError: the folder holds checkpoints of another distillation.
    """
    if unused := distill.unused(train, data.watch.config):
        msg = f"a distillation does not use what is set here: {'; '.join(unused)}"
        raise TrainingError(msg)
    _check_teacher(teacher, data, encoder)
    identity = training_identity(
        data, {"encoder": encoder, "train": train, "distill": distill}, seed=seed, teacher=teacher.digest
    )
    work = _Distillation(data, teacher, encoder, train, distill, seed)
    checkpoints, history_url = files.join(folder, "checkpoints"), files.join(folder, "history.csv")
    found = newest_checkpoint(checkpoints)
    if found is None:
        work.look()
    else:
        refuse_other(identity, found[1].get(_IDENTITY), found[0])
        work.load_state_dict(found[1])
    for batch in work.batches():
        work.learn(batch)
        if work.step % train.validate_every == 0 or work.step == train.steps:
            work.look()
            work.write(history_url)
        if work.step % train.checkpoint_every == 0 or work.step == train.steps:
            work.module.refuse_broken_weights(work.step)
            state = {**work.state_dict(), _IDENTITY: identity}
            CheckedCheckpoints().save_checkpoint(state, checkpoint_url(checkpoints, work.step))
            remove_all_but(checkpoints, keep=_KEPT_CHECKPOINTS)
        if on_step is not None:
            on_step(work.step, train.steps)
    work.write(history_url)
    summary = {
        "seed": seed,
        "segclr_version": __version__,
        "config": train.model_dump(mode="json"),
        "distill": distill.model_dump(mode="json"),
        "teacher_digest": teacher.digest,
        "n_training_pairs": len(data.training),
        "n_held_out_pairs": len(data.held_out),
        "result": work.rows[-1],
    }
    network = work.module.encoder_network.cpu()
    network.rescale_embeddings(scale=work.scale, offset=work.offset.cpu())
    return Encoder(encoder, network, voxel_size_nm=data.voxel_size_nm, size_vx=data.size_vx, training=summary)


def _check_teacher(teacher: Encoder, data: TrainingData, student: EncoderConfig) -> None:
    sizes = zip(teacher.voxel_size_nm, data.voxel_size_nm, strict=True)
    if teacher.size_vx != data.size_vx or any(abs(a - b) > _SIZE_TOLERANCE * a for a, b in sizes):
        msg = (
            f"the teacher sees cubes of {teacher.size_vx} voxels of {teacher.voxel_size_nm} nm, the "
            f"student's are {data.size_vx} of {data.voxel_size_nm}: cut them as the teacher's "
            "(cubes.size_vx, volume.voxel_size_nm)"
        )
        raise TrainingError(msg)
    if teacher.config.embedding_dim != student.embedding_dim:
        msg = (
            f"the student answers the teacher's embedding, of {teacher.config.embedding_dim} numbers: set "
            f"encoder.embedding_dim to that, got {student.embedding_dim}"
        )
        raise TrainingError(msg)


@dataclass
class _Distillation:
    """Student, teacher and how far the one has come."""

    data: TrainingData
    teacher: Encoder
    encoder: EncoderConfig
    train: TrainConfig
    distill: DistillConfig
    seed: int
    step: int = 0
    rows: list[Row] = field(default_factory=list)
    losses: list[list[float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.device = resolve_device()
        self.module = ContrastiveModule(
            build_network(self.encoder, seed=self.seed).to(self.device).train(),
            loss=build_loss(self.train, self.encoder, seed=self.seed),
            config=self.train,
            voxel_size_nm=self.data.voxel_size_nm,
            size_vx=self.data.size_vx,
            seed=self.seed,
        )
        self.dtype = resolve_training_precision(
            self.train.precision,
            self.device,
            backbone=self.module.network.backbone,
            size_vx=self.data.size_vx,
        )
        self.teacher.network.to(self.device)
        self.dataset = PairDataset(
            self.data.cubes, self.data.training, batch_pairs=self.train.batch_pairs, seed=self.seed
        )
        self.micro_batches = own_pairs(
            self.train.batch_pairs, accumulate=self.train.accumulate, rank=0, n_processes=1
        )
        self.optimizer = make_optimizer(self.module, self.train)
        # The student learns the teacher's embeddings less their mean over their spread, which no rate of
        # learning need be tuned to; its last layer takes both up in the end.
        first = self._on_device(self.dataset[0])
        with torch.inference_mode():
            parts = [self.teacher.network(self.module.views(first, pairs)) for pairs in self.micro_batches]
        wanted = torch.cat(parts)
        self.offset = wanted.mean(dim=0)
        self.scale = float((wanted - self.offset).square().mean().sqrt())
        if not self.scale > _LEAST_SPREAD * float(wanted.abs().max()):
            msg = (
                f"the teacher has nothing to teach: its embeddings of {len(wanted)} views, of numbers up to "
                f"{float(wanted.abs().max())}, spread by {self.scale}; has it been trained?"
            )
            raise TrainingError(msg)
        held_out = self.data.held_out
        if len(held_out) < 2:
            msg = f"watching the distillation needs at least 2 held-out pairs, got {len(held_out)}"
            raise TrainingError(msg)
        chosen = balanced_rows(held_out.groups, self.train.validation_pairs, seed=self.seed)
        self.watched = np.concatenate([held_out.rows_a[chosen], held_out.rows_b[chosen]])
        self.groups = held_out.groups[chosen]
        distances = self.data.watch.distances
        self.distances = None if distances is None else distances.take(chosen)

    def batches(self) -> Iterator[PairBatch]:
        """Batches from this step to the last."""
        n_workers = self.train.num_workers
        return iter(
            DataLoader(
                self.dataset,
                batch_size=None,
                sampler=StepSampler(self.step, self.train.steps),
                num_workers=n_workers,
                multiprocessing_context="spawn" if n_workers else None,
            )
        )

    def learn(self, batch: PairBatch) -> None:
        """One step of the optimiser."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.train.learning_rate * self.module.rate_factor(self.step)
        batch = self._on_device(batch)
        losses = []
        with advice_when_out_of_memory(self.train):
            self.optimizer.zero_grad()
            for pairs in self.micro_batches:
                parts = self._losses_of(batch, pairs)
                self.module.refuse_infinite(parts[0], self.step)
                (parts[0] / len(self.micro_batches)).backward()  # type: ignore[no-untyped-call]
                losses.append([part.item() for part in parts])
            if self.train.gradient_clip:
                torch.nn.utils.clip_grad_norm_(self.module.network.parameters(), self.train.gradient_clip)
            self.optimizer.step()
        self.module.update_average()
        self.losses.append(np.mean(losses, axis=0).tolist())
        self.step += 1

    def _losses_of(self, batch: PairBatch, pairs: slice) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The whole loss of some pairs of a batch, and its two terms without their weights."""
        views = self.module.views(batch, pairs)
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
            with torch.no_grad():
                wanted = self.teacher.network(views)
            embeddings = self.module.network(views)
            projections = self.module.network.project(embeddings)
        regression = regression_loss(embeddings.float(), (wanted.float() - self.offset) / self.scale)
        groups = batch.groups[pairs] if self.train.mask_same_segment else None
        view_a, view_b = projections.float().chunk(2)
        contrast = self.module.loss(view_a, view_b, groups)
        loss = self.distill.regression_weight * regression + self.distill.contrastive_weight * contrast
        return loss, regression, contrast

    def _on_device(self, batch: PairBatch) -> PairBatch:
        return PairBatch(batch.step, *(column.to(self.device) for column in batch[1:]))

    def look(self) -> None:
        """Add a row on held-out pairs: how much of the teacher they tell, and how well partners are found."""
        student = self._embed(self.module.encoder_network) * self.scale + self.offset.cpu()
        teacher = self._embed(self.teacher.network)
        means = np.mean(self.losses, axis=0) if self.losses else np.full(3, np.nan)
        cells = torch.from_numpy(self.groups)
        first, second = teacher.chunk(2)
        self.rows.append(
            {
                "step": self.step,
                "loss": float(means[0]) if self.losses else None,
                "learning_rate": self.train.learning_rate * self.module.rate_factor(max(0, self.step - 1)),
                "regression": float(means[1]) if self.losses else None,
                "contrast": float(means[2]) if self.losses else None,
                "explained": explained_share(student, teacher),
                "teacher_top1": pair_retrieval(first, second, cells).top1,
                **look_at(student, self.groups, self.distances),
                "collapse": "",
            }
        )
        self.losses = []

    def _embed(self, network: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        self.module.encoder_network.eval()
        parts = []
        for start in range(0, len(self.watched), _BATCH_SIZE):
            stored = torch.from_numpy(self.data.cubes.read(self.watched[start : start + _BATCH_SIZE]))
            cubes = center_views(stored, size_vx=self.data.size_vx)
            parts.append(
                encode(network, cubes, batch_size=_BATCH_SIZE, device=self.device, dtype=torch.float32).cpu()
            )
        self.module.encoder_network.train()
        return torch.cat(parts)

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values for a checkpoint."""
        return {
            "global_step": self.step,
            "state_dict": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rows": self.rows,
            "losses": self.losses,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.step = state["global_step"]
        self.module.on_load_checkpoint(state)  # refuses another architecture
        self.module.load_state_dict(state["state_dict"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.rows, self.losses = list(state["rows"]), list(state["losses"])

    def write(self, url: str) -> None:
        """Write all rows as CSV."""
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, fieldnames=list(self.rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        files.write_bytes(url, buffer.getvalue().encode())
