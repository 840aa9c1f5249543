"""The fully supervised baseline: the same network trained on the labels of cubes, without pairs.

What labels cost without embeddings. The network ends, as any encoder, in an embedding; a linear head on it
tells the class (Dorkenwald, Li et al. 2023 compare linear classifiers on few labels with such a network).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn
from torch.nn import functional

from segclr._version import __version__
from segclr.config import EncoderConfig, TrainConfig
from segclr.errors import LabelError, TrainingError
from segclr.geometry import VoxelSize
from segclr.model import Encoder, build_network, resolve_device
from segclr.train.augment import apply_views, draw_views, view_keys
from segclr.train.dataset import CubeSource
from segclr.train.label_head import LabelHead
from segclr.train.optimizer import learning_rate_factor, make_optimizer
from segclr.train.order import sample_numbers
from segclr.train.precision import resolve_training_precision

__all__ = ["train_supervised"]

OnStep = Callable[[int, int], None]


class _Network(nn.Module):
    """An encoder and its head."""

    def __init__(self, encoder: EncoderConfig, *, n_classes: int, seed: int) -> None:
        super().__init__()
        self.encoder = build_network(encoder, seed=seed)
        self.encoder.projection = nn.Identity()  # only a contrastive loss sees it
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.head = nn.Linear(encoder.embedding_dim, n_classes)

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        """Views [n, 1, z, y, x] -> logits [n, k]."""
        logits: torch.Tensor = self.head(self.encoder(views))
        return logits


def train_supervised(
    cubes: CubeSource,
    rows: NDArray[np.int64],
    classes: ArrayLike,
    *,
    encoder: EncoderConfig,
    train: TrainConfig,
    voxel_size_nm: VoxelSize,
    size_vx: int,
    seed: int,
    on_step: OnStep | None = None,
) -> tuple[Encoder, LabelHead]:
    """Train encoder and head on labelled cubes by cross-entropy; a function of its arguments on a CPU.

    A batch has ``2 * train.batch_pairs`` cubes, as many as a contrastive one. Each draws its class, all
    alike, then one of its cubes, and a view of it as ``train.augment`` says. Steps, optimiser, schedule,
    gradient clipping and precision are those of ``train``; what concerns pairs, checkpoints, several
    devices, accumulation and running means is not used. It is not resumed: killed, it begins again.

    Args:
        cubes: stored cubes of edge ``size_vx`` plus twice the margin.
        rows: int64 [n], which of them are labelled.
        classes: [n] their labels.
        encoder: architecture.
        train: how to learn.
        voxel_size_nm: nm (x, y, z) of a voxel.
        size_vx: edge of the cubes the network sees.
        seed: of weights, batches and views.
        on_step: is called with (steps done, steps in all).

    Raises:
        LabelError: there are not as many labels as rows, or fewer than two classes.
        TrainingError: the loss is not finite.
    """
    labels = np.asarray(classes).astype(str)
    if labels.shape != np.shape(rows):
        msg = f"{len(rows)} rows need as many classes, got an array of shape {labels.shape}"
        raise LabelError(msg)
    names, numbers = np.unique(labels, return_inverse=True)
    if len(names) < 2:
        msg = f"a classifier needs cubes of two classes or more, got {names.tolist()}"
        raise LabelError(msg)
    of_class = [np.asarray(rows)[numbers == k] for k in range(len(names))]
    device = resolve_device()
    network = _Network(encoder, n_classes=len(names), seed=seed).to(device).train()
    dtype = resolve_training_precision(
        train.precision, device, backbone=network.encoder.backbone, size_vx=size_vx
    )
    optimizer = make_optimizer(network, train)
    for step in range(train.steps):
        drawn, wanted = _draw(of_class, n=2 * train.batch_pairs, seed=seed, step=step)
        stored = torch.from_numpy(cubes.read(drawn)).to(device)
        margin_vx = (stored.shape[1] - size_vx) // 2
        parameters = draw_views(
            train.augment,
            view_keys(seed, sample_numbers(step, batch_pairs=train.batch_pairs)),
            voxel_size_nm=voxel_size_nm,
            margin_vx=margin_vx,
        )
        views = apply_views(stored, parameters, size_vx=size_vx)
        views = views.contiguous(memory_format=torch.channels_last_3d)
        for group in optimizer.param_groups:
            group["lr"] = train.learning_rate * learning_rate_factor(
                step, steps=train.steps, warmup_steps=train.warmup_steps
            )
        optimizer.zero_grad()
        with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
            logits = network(views)
        loss = functional.cross_entropy(logits.float(), torch.from_numpy(wanted).to(device))
        if not bool(torch.isfinite(loss)):
            msg = f"the supervised loss of step {step} is {loss.item()}: lower train.learning_rate"
            raise TrainingError(msg)
        loss.backward()  # type: ignore[no-untyped-call]
        if train.gradient_clip:
            torch.nn.utils.clip_grad_norm_(network.parameters(), train.gradient_clip)
        optimizer.step()
        if on_step is not None:
            on_step(step + 1, train.steps)
    return _finished(
        network.cpu().eval(),
        names,
        encoder,
        voxel_size_nm=voxel_size_nm,
        size_vx=size_vx,
        account={"seed": seed, "config": train.model_dump(mode="json"), "n_labels": len(labels)},
    )


def _draw(
    of_class: list[NDArray[np.int64]], *, n: int, seed: int, step: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows int64 [n] of a step's batch and the number of each one's class, int64 [n]."""
    random = np.random.default_rng([seed, step])
    wanted = random.integers(len(of_class), size=n)
    places = random.random(n)
    rows = [of_class[k][int(place * len(of_class[k]))] for k, place in zip(wanted, places, strict=True)]
    return np.array(rows, dtype=np.int64), wanted


def _finished(
    network: _Network,
    names: NDArray[np.str_],
    config: EncoderConfig,
    *,
    voxel_size_nm: VoxelSize,
    size_vx: int,
    account: dict[str, object],
) -> tuple[Encoder, LabelHead]:
    """Encoder and head as they are used; the projection that no encoder lacks is a random one."""
    whole = build_network(config.architecture, seed=0)
    whole.backbone, whole.bottleneck = network.encoder.backbone, network.encoder.bottleneck
    training = {"kind": "supervised", "segclr_version": __version__, **account}
    encoder = Encoder(
        config.architecture, whole, voxel_size_nm=voxel_size_nm, size_vx=size_vx, training=training
    )
    weight = network.head.weight.detach().numpy().copy()
    return encoder, LabelHead(names, weight, network.head.bias.detach().numpy().copy())
