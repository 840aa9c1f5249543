"""Stage ``train`` of a run with a ``distill`` section: a small encoder learns from a big one."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from pipelines.blocks import Stage
from pipelines.progress import Progress
from pipelines.records import Outcome
from pipelines.run import Run
from pipelines.train import write_encoder
from pipelines.training_data import encoder_digest, training_inputs
from segclr.config import DistillConfig, digest

if TYPE_CHECKING:  # torch is imported where training begins
    from segclr.model import Encoder
    from segclr.train import TrainingData

__all__ = ["distill_stage"]


def distill_stage(run: Run, distill: DistillConfig) -> Stage:
    """One part: the encoder, where ``train_stage`` would put it."""
    inputs = {
        **training_inputs(run),
        "distill": digest(distill),
        "teacher": encoder_digest(distill.teacher),
    }
    work = functools.partial(_distill, run, distill)
    return Stage("train", ("encoder",), work, inputs, alone=True)


def _distill(run: Run, distill: DistillConfig, _part: str) -> Outcome:
    from segclr.model.checkpoint import load_encoder
    from segclr.train.distill import distil_encoder

    teacher = load_encoder(distill.teacher)

    def learn(data: TrainingData, progress: Progress) -> Encoder:
        return distil_encoder(
            data,
            teacher=teacher,
            encoder=run.config.encoder,
            train=run.config.train,
            distill=distill,
            folder=run.path("training"),
            seed=run.config.seed,
            on_step=lambda step, _total: progress.reach(step),
        )

    return write_encoder(run, learn, name="distill")
