"""Stage ``train`` of a run with a ``distill`` section: a small encoder learns from a big one."""

from __future__ import annotations

import functools

from pipelines.blocks import Stage
from pipelines.progress import Progress
from pipelines.records import Outcome
from pipelines.run import TRAINED, Run, missing_chunks
from pipelines.train import TRAINING_FILES, tell_transfer, use_threads
from pipelines.training_data import encoder_digest, training_data, training_inputs
from segclr.config import DistillConfig, digest

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
    em, segmentation = run.open_volumes()
    data = training_data(run, em, segmentation)
    use_threads(run)
    transferred = tell_transfer(run)
    with Progress("distill", total=run.config.train.steps, unit="steps") as progress:

        def on_step(step: int, _total: int) -> None:
            progress.reach(step)

        encoder = distil_encoder(
            data,
            teacher=teacher,
            encoder=run.config.encoder,
            train=run.config.train,
            distill=distill,
            folder=run.path("training"),
            seed=run.config.seed,
            on_step=on_step,
        )
    encoder.save(run.path(TRAINED.folder("encoder")))
    counts = missing_chunks(em, segmentation)
    return Outcome((*TRAINING_FILES, *transferred), rows=data.n_pairs, counts=counts)
