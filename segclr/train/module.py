"""Contrastive training as a Lightning module: views in, loss out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch.optim.lr_scheduler import LambdaLR

from segclr.config import TrainConfig
from segclr.errors import TrainingError
from segclr.geometry import VoxelSize
from segclr.model import EncoderNetwork, NtXent
from segclr.train.augment import apply_views, sample_views
from segclr.train.batch import PairBatch
from segclr.train.optimizer import learning_rate_factor, make_optimizer

__all__ = ["ContrastiveModule"]

_AUGMENT_STREAM = 1


class ContrastiveModule(pl.LightningModule):
    """Two views of each pair through one network, NT-Xent between them.

    The views of step k are a function of (seed, k), so a resumed run draws what an undisturbed one draws.
    """

    def __init__(
        self,
        network: EncoderNetwork,
        *,
        config: TrainConfig,
        voxel_size_nm: VoxelSize,
        size_vx: int,
        seed: int,
    ) -> None:
        """Hold the network and what shapes its views; nothing goes into Lightning's hyper-parameters."""
        super().__init__()
        self.network = network
        self.config = config
        self.voxel_size_nm = voxel_size_nm
        self.size_vx = size_vx
        self.seed = seed
        self.loss = NtXent(config.temperature)

    def training_step(self, batch: PairBatch, batch_idx: int) -> torch.Tensor:
        """Loss of a batch.

        Raises:
            TrainingError: the loss is not finite, or the batch was made for another step.
        """
        if batch.step != self.global_step:
            msg = f"step {self.global_step} received the batch of step {batch.step}"
            raise TrainingError(msg)
        views = self.views(batch)
        projections = self.network.project(self.network(views))
        with torch.autocast(views.device.type, enabled=False):
            view_a, view_b = projections.float().chunk(2)
            groups = batch.groups if self.config.mask_same_segment else None
            loss = self.loss(view_a, view_b, groups)
        if not bool(torch.isfinite(loss)):
            msg = (
                f"the loss of step {batch.step} is {loss.item()}: lower train.learning_rate "
                f"({self.config.learning_rate}), raise train.warmup_steps ({self.config.warmup_steps}), set "
                "train.gradient_clip, or train in float32"
            )
            raise TrainingError(msg)
        return loss

    def views(self, batch: PairBatch) -> torch.Tensor:
        """Random views float32 [2n, 1, z, y, x]: those of ``cubes_a``, then those of ``cubes_b``."""
        stored = torch.cat([batch.cubes_a, batch.cubes_b])
        state = np.random.SeedSequence([self.seed, _AUGMENT_STREAM, batch.step]).generate_state(1, np.uint64)
        parameters = sample_views(
            self.config.augment,
            len(stored),
            voxel_size_nm=self.voxel_size_nm,
            margin_vx=(stored.shape[1] - self.size_vx) // 2,
            generator=torch.Generator().manual_seed(int(state[0]) >> 1),
        )
        views = apply_views(stored, parameters, size_vx=self.size_vx)
        return views.contiguous(memory_format=torch.channels_last_3d)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The configured optimiser, its rate following the schedule step by step."""
        optimizer = make_optimizer(self.network, self.config)
        scheduler = LambdaLR(optimizer, self.rate_factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def rate_factor(self, step: int) -> float:
        """Share of the peak learning rate at a step."""
        return learning_rate_factor(step, steps=self.config.steps, warmup_steps=self.config.warmup_steps)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse to save weights that are not finite: a broken state must not replace a good one."""
        if not all(bool(torch.isfinite(t).all()) for t in self.network.state_dict().values()):
            msg = f"weights are not finite after step {self.global_step}; the last checkpoint is kept"
            raise TrainingError(msg)
