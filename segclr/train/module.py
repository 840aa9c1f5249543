"""Contrastive training as a Lightning module: views in, loss out, one optimiser step a batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from segclr.config import TrainConfig
from segclr.errors import RunMismatchError, TrainingError
from segclr.geometry import VoxelSize
from segclr.model import EncoderNetwork
from segclr.model.inference import is_out_of_memory
from segclr.model.loss import PairLoss
from segclr.model.loss.gather import mean_over_processes
from segclr.train.augment import random_views
from segclr.train.batch import PairBatch
from segclr.train.optimizer import learning_rate_factor, make_optimizer
from segclr.train.recompute import recompute_activations

__all__ = ["ContrastiveModule", "advice_when_out_of_memory", "own_pairs"]

_ALL = slice(None)


def own_pairs(n_pairs: int, *, accumulate: int, rank: int, n_processes: int) -> list[slice]:
    """Which pairs of a batch a process encodes, one slice a micro-batch.

    A micro-batch is a run of ``n_pairs / accumulate`` pairs, and a process takes its part of each::

        >>> own_pairs(8, accumulate=2, rank=1, n_processes=2)
        [slice(2, 4, None), slice(6, 8, None)]
    """
    micro = n_pairs // accumulate
    own = micro // n_processes
    return [slice(k * micro + rank * own, k * micro + (rank + 1) * own) for k in range(accumulate)]


class ContrastiveModule(pl.LightningModule):
    """Two views of each pair through one network, a loss between them.

    Views are a function of the seed and the sample's number, so a resumed run draws what an undisturbed one
    draws, and several processes draw what one draws. A batch is one optimiser step: the module itself divides
    it into micro-batches (Lightning's manual optimisation), so steps, batches and checkpoints count alike.

    Attributes:
        average: running mean of the network's weights where ``ema_decay`` is set, else None.
    """

    def __init__(
        self,
        network: EncoderNetwork,
        *,
        loss: PairLoss,
        config: TrainConfig,
        voxel_size_nm: VoxelSize,
        size_vx: int,
        seed: int,
    ) -> None:
        """Hold the network and what shapes its views; nothing goes into Lightning's hyper-parameters."""
        super().__init__()
        self.automatic_optimization = False
        self.network = network
        self.loss = loss
        self.config = config
        self.voxel_size_nm = voxel_size_nm
        self.size_vx = size_vx
        self.seed = seed
        self.average: AveragedModel | None = None
        if config.ema_decay > 0:
            mean = get_ema_multi_avg_fn(config.ema_decay)  # type: ignore[no-untyped-call]
            self.average = AveragedModel(network, multi_avg_fn=mean, use_buffers=True)
            self.average.requires_grad_(requires_grad=False)
        if config.recompute:
            recompute_activations(network.backbone)

    @property
    def encoder_network(self) -> EncoderNetwork:
        """The network that a finished training hands out: the running mean where there is one."""
        if self.average is None:
            return self.network
        mean = self.average.module
        assert isinstance(mean, EncoderNetwork)
        return mean

    def training_step(self, batch: PairBatch, batch_idx: int) -> torch.Tensor:
        """One optimiser step on this process's pairs; the mean loss over micro-batches and processes.

        Raises:
            TrainingError: the loss is not finite, the batch was made for another step, or it does not fit
                into memory.
        """
        if batch.step != self.global_step:
            msg = f"step {self.global_step} received the batch of step {batch.step}"
            raise TrainingError(msg)
        optimizer, scheduler = self.optimizers(), self.lr_schedulers()
        assert isinstance(optimizer, LightningOptimizer)
        assert isinstance(scheduler, LambdaLR)
        micro_batches = own_pairs(len(batch.groups), accumulate=self.config.accumulate, rank=0, n_processes=1)
        losses = []
        with advice_when_out_of_memory(self.config):
            optimizer.zero_grad()
            for pairs in micro_batches:
                loss = self.pair_loss(batch, pairs)
                losses.append(mean_over_processes(loss))
                self.refuse_infinite(losses[-1], batch.step)
                self.manual_backward(loss / len(micro_batches))
            optimizer.step()
        scheduler.step()
        self.update_average()
        return torch.stack(losses).mean()

    def update_average(self) -> None:
        """Take the weights after a step into the running mean, where there is one."""
        if self.average is not None:
            self.average.update_parameters(self.network)

    def pair_loss(self, batch: PairBatch, pairs: slice = _ALL) -> torch.Tensor:
        """Loss of some pairs of a batch, the rest of the micro-batch being in other processes."""
        projections = self.network.project(self.network(self.views(batch, pairs)))
        with torch.autocast(projections.device.type, enabled=False):
            view_a, view_b = projections.float().chunk(2)
            groups = batch.groups[pairs] if self.config.mask_same_segment else None
            return self.loss(view_a, view_b, groups)

    def views(self, batch: PairBatch, pairs: slice = _ALL) -> torch.Tensor:
        """Random views float32 [2n, 1, z, y, x] of n pairs: those of ``cubes_a``, then those of ``cubes_b``.

        They follow from the seed and each pair's sample number, whoever encodes it.
        """
        part = PairBatch(batch.step, *(column[pairs] for column in batch[1:]))
        views = random_views(
            part,
            self.config.augment,
            seed=self.seed,
            voxel_size_nm=self.voxel_size_nm,
            size_vx=self.size_vx,
        )
        return views.contiguous(memory_format=torch.channels_last_3d)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The configured optimiser, its rate following the schedule step by step."""
        optimizer = make_optimizer(self, self.config)
        scheduler = LambdaLR(optimizer, self.rate_factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def rate_factor(self, step: int) -> float:
        """Share of the peak learning rate at a step."""
        return learning_rate_factor(step, steps=self.config.steps, warmup_steps=self.config.warmup_steps)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip the whole gradient: of all micro-batches and processes, float16's scale taken out."""
        if self.config.gradient_clip > 0:
            self.clip_gradients(
                optimizer, gradient_clip_val=self.config.gradient_clip, gradient_clip_algorithm="norm"
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse to save weights that are not finite: a broken state must not replace a good one."""
        self.refuse_broken_weights(self.global_step)

    def refuse_broken_weights(self, step: int) -> None:
        """Stop before weights are saved that are not finite.

        Raises:
            TrainingError: some are not, after ``step`` steps.
        """
        if not all(bool(torch.isfinite(t).all()) for t in self.state_dict().values()):
            msg = f"weights are not finite after step {step}; the last checkpoint is kept"
            raise TrainingError(msg)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse weights of another architecture.

        Raises:
            RunMismatchError: names or shapes differ; the first few are named.
        """
        shapes = {name: tuple(tensor.shape) for name, tensor in self.state_dict().items()}
        found = {name: tuple(tensor.shape) for name, tensor in checkpoint["state_dict"].items()}
        differing = [
            f"{name} is {found.get(name, 'missing')}, allowed {shapes.get(name, 'absent')}"
            for name in sorted(shapes.keys() | found.keys())
            if shapes.get(name) != found.get(name)
        ]
        if differing:
            more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
            msg = f"the checkpoint is of another architecture: {'; '.join(differing[:3])}{more}"
            raise RunMismatchError(msg)

    def refuse_infinite(self, loss: torch.Tensor, step: int) -> None:
        """Stop before a loss that is not finite reaches the weights.

        Raises:
            TrainingError: it is not; the message says what to change.
        """
        if not bool(torch.isfinite(loss)):
            msg = (
                f"the loss of step {step} is {loss.item()}: lower train.learning_rate "
                f"({self.config.learning_rate}), raise train.warmup_steps ({self.config.warmup_steps}), set "
                "train.gradient_clip, or train in float32"
            )
            raise TrainingError(msg)


@contextmanager
def advice_when_out_of_memory(config: TrainConfig) -> Iterator[None]:
    """Full memory within is a ``TrainingError`` that says what to change."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        micro = config.batch_pairs // config.accumulate
        msg = (
            f"a micro-batch of {micro} pairs does not fit into memory: raise train.accumulate "
            f"({config.accumulate}), set train.recompute ({config.recompute}) or train.precision bfloat16, "
            f"or lower train.batch_pairs ({config.batch_pairs}); the last checkpoint is kept"
        )
        raise TrainingError(msg) from error
