"""Stage ``train``: the encoder, in this process with all its cores or its GPU, resumed from checkpoints."""

from __future__ import annotations

import functools
import os

from pipelines.blocks import Stage
from pipelines.progress import Progress
from pipelines.records import Outcome
from pipelines.run import TRAINED, UNTRAINED, Run, missing_chunks
from pipelines.training_data import training_data, training_inputs
from segclr.config import digest

__all__ = ["train_stage", "untrained_stage"]


def train_stage(run: Run) -> Stage:
    """One part: the encoder."""
    config = run.config
    inputs = {
        **training_inputs(run),
        "encoder": digest(config.encoder),
        "train": digest(config.train),
        "seed": str(config.seed),
    }
    return Stage("train", ("encoder",), functools.partial(_train, run), inputs, alone=True)


def _train(run: Run, _part: str) -> Outcome:
    import torch

    from segclr.train import train_encoder

    em, segmentation = run.open_volumes()
    data = training_data(run, em, segmentation)
    # Starting local workers leaves OMP_NUM_THREADS=1 behind in this process's environment.
    torch.set_num_threads(run.config.train.threads or len(os.sched_getaffinity(0)))
    with Progress("train", total=run.config.train.steps, unit="steps") as progress:

        def on_step(step: int, _total: int) -> None:
            progress.reach(step)

        encoder = train_encoder(
            data,
            encoder=run.config.encoder,
            train=run.config.train,
            folder=run.path("training"),
            seed=run.config.seed,
            on_step=on_step,
        )
    encoder.save(run.path(TRAINED.folder("encoder")))
    names = (*_encoder_files(TRAINED.folder("encoder")), "training/history.csv")
    n_pairs = len(data.training) + len(data.held_out)
    return Outcome(names, rows=n_pairs, counts=missing_chunks(em, segmentation))


def untrained_stage(run: Run) -> Stage:
    """One part: the same network with random weights, the baseline."""
    inputs = {"encoder": digest(run.config.encoder), "seed": str(run.config.seed)}
    return Stage(
        UNTRAINED.stage("encoder"), ("encoder",), functools.partial(_make_untrained, run), inputs, alone=True
    )


def _make_untrained(run: Run, _part: str) -> Outcome:
    from segclr.model.encoder import Encoder

    encoder = Encoder.untrained(
        run.config.encoder,
        voxel_size_nm=run.open_volumes()[0].voxel_size_nm,
        size_vx=run.config.cubes.size_vx,
        seed=run.config.seed,
    )
    encoder.save(run.path(UNTRAINED.folder("encoder")))
    return Outcome(_encoder_files(UNTRAINED.folder("encoder")))


def _encoder_files(folder: str) -> tuple[str, str]:
    return f"{folder}/model.safetensors", f"{folder}/config.json"
