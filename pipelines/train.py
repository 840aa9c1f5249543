"""Stage ``train``: the encoder, in this process with all its cores or its GPU, resumed from checkpoints."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from pipelines.blocks import Stage
from pipelines.progress import Progress, console
from pipelines.records import Outcome
from pipelines.run import TRAINED, UNTRAINED, EmbeddingSet, Run, missing_chunks
from pipelines.training_data import encoder_digest, training_data, training_inputs
from segclr import files
from segclr.config import digest

if TYPE_CHECKING:  # torch is imported where training begins
    from segclr.model import Encoder
    from segclr.train import TrainingData

__all__ = ["given_encoder_stage", "train_stage", "untrained_stage", "use_threads", "write_encoder"]


def _encoder_files(folder: str) -> tuple[str, str]:
    return f"{folder}/model.safetensors", f"{folder}/config.json"


def train_stage(run: Run) -> Stage:
    """One part: the encoder."""
    return Stage("train", ("encoder",), functools.partial(_train, run), training_inputs(run), alone=True)


def _train(run: Run, _part: str) -> Outcome:
    from segclr.train import train_encoder
    from segclr.train.tensorboard import EVENTS

    def learn(data: TrainingData, progress: Progress) -> Encoder:
        return train_encoder(
            data,
            encoder=run.config.encoder,
            train=run.config.train,
            folder=run.path("training"),
            seed=run.config.seed,
            on_step=lambda step, _total: progress.reach(step),
            on_warning=progress.say,
        )

    events = (f"training/{EVENTS}",) if run.config.monitor.tensorboard else ()
    return write_encoder(run, learn, name="train", more_files=events)


def write_encoder(
    run: Run,
    learn: Callable[[TrainingData, Progress], Encoder],
    *,
    name: str,
    more_files: tuple[str, ...] = (),
) -> Outcome:
    """Let an encoder learn from a run's pairs, with all cores and with progress, and save it.

    Args:
        run: whose pairs, and cubes where they are stored, are complete.
        learn: writes ``training/history.csv`` and answers the encoder.
        name: shown with the progress.
        more_files: what ``learn`` writes besides, below the run's folder.
    """
    em, segmentation = run.open_volumes()
    data = training_data(run, em, segmentation)
    use_threads(run)
    transferred = _tell_transfer(run)
    with Progress(name, total=run.config.train.steps, unit="steps") as progress:
        encoder = learn(data, progress)
    _with_kind(run, encoder).save(run.path(TRAINED.folder("encoder")))
    names = (*_encoder_files(TRAINED.folder("encoder")), "training/history.csv", *transferred, *more_files)
    return Outcome(names, rows=data.n_pairs, counts=missing_chunks(em, segmentation))


def _with_kind(run: Run, encoder: Encoder) -> Encoder:
    """The encoder with a note of what its cubes show, which embedding goes by."""
    from segclr.embed import CubeKind

    return replace(encoder, training=CubeKind.of_config(run.config.cubes).noted(encoder.training))


def _tell_transfer(run: Run) -> tuple[str, ...]:
    """Tell which weights training starts from; answers the file that lists every tensor, if any."""
    from segclr.model.network import starting_weights

    transfer = starting_weights(run.config.encoder)
    if transfer is None:
        return ()
    console().print(f"train: {transfer}")
    name = "training/transfer.json"
    files.write_json(run.path(name), transfer.to_dict())
    return (name,)


def use_threads(run: Run) -> None:
    """As many as configured; starting local workers leaves OMP_NUM_THREADS=1 behind in this process."""
    import torch

    torch.set_num_threads(run.config.train.threads or len(os.sched_getaffinity(0)))


def untrained_stage(run: Run) -> Stage:
    """One part: the same network with random weights, the baseline."""
    inputs = {"encoder": digest(run.config.encoder), "seed": str(run.config.seed)}
    return Stage(
        UNTRAINED.stage("encoder"), ("encoder",), functools.partial(_make_untrained, run), inputs, alone=True
    )


def given_encoder_stage(run: Run, url: str, which: EmbeddingSet = TRAINED) -> Stage:
    """In place of ``train``: one part, which copies a finished encoder to where one trained here would be.

    So the run tells where its embeddings come from, whatever becomes of the other folder.
    """
    name = "train" if which == TRAINED else which.stage("encoder")
    inputs = {"encoder": encoder_digest(url)}
    return Stage(name, ("encoder",), functools.partial(_copy, run, url, which), inputs, alone=True)


def _copy(run: Run, url: str, which: EmbeddingSet, _part: str) -> Outcome:
    from segclr.model.checkpoint import load_encoder

    load_encoder(url).save(run.path(which.folder("encoder")))
    return Outcome(_encoder_files(which.folder("encoder")))


def _make_untrained(run: Run, _part: str) -> Outcome:
    from segclr.model.encoder import Encoder

    encoder = Encoder.untrained(
        run.config.encoder,
        voxel_size_nm=run.open_volumes()[0].voxel_size_nm,
        size_vx=run.config.cubes.size_vx,
        seed=run.config.seed,
    )
    _with_kind(run, encoder).save(run.path(UNTRAINED.folder("encoder")))
    return Outcome(_encoder_files(UNTRAINED.folder("encoder")))
