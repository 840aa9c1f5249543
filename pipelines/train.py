"""Stage ``train``: the encoder, in this process with all its cores or its GPU, resumed from checkpoints."""

from __future__ import annotations

import functools
import os

import numpy as np
from numpy.typing import NDArray

from pipelines.blocks import Stage
from pipelines.cubes import BLANK, STORE, pair_rows
from pipelines.progress import Progress
from pipelines.records import Outcome, stage_counts, stage_digest
from pipelines.run import TRAINED, UNTRAINED, Run
from pipelines.watch import watch_digest, watch_of
from segclr.config import digest
from segclr.data.pairs import PairTable
from segclr.errors import TrainingError
from segclr.store.cubes import open_cube_store

__all__ = ["train_stage", "untrained_stage"]


def train_stage(run: Run) -> Stage:
    """One part: the encoder."""
    config = run.config
    inputs = {
        "cubes": stage_digest(run.url, "cubes"),
        "pairs": stage_digest(run.url, "pairs"),
        "encoder": digest(config.encoder),
        "train": digest(config.train),
        "monitor": watch_digest(run),
        "seed": str(config.seed),
    }
    return Stage("train", ("encoder",), functools.partial(_train, run), inputs, alone=True)


def _train(run: Run, _part: str) -> Outcome:
    import torch

    from segclr.train.dataset import ArrayCubes, CubeSource, PairRows
    from segclr.train.fit import TrainingData, train_encoder
    from segclr.train.tensorboard import EVENTS

    rows, counts = stage_counts(run.url, "cubes")
    if counts[BLANK] == rows:
        msg = f"all {rows} cubes are blank: {run.volume.em} is 0 in every segment; is it their EM?"
        raise TrainingError(msg)
    store = open_cube_store(run.path(STORE))
    pairs, rows_a, rows_b = pair_rows(run)
    cubes: CubeSource = store
    if len(store) * store.size_vx**3 <= run.config.train.memory_gb * 1e9:
        cubes = ArrayCubes(store.read(np.arange(len(store))))

    def side(rows: NDArray[np.bool_]) -> PairRows:
        return PairRows(rows_a[rows], rows_b[rows], _numbers(pairs)[rows])

    data = TrainingData(
        cubes=cubes,
        training=side(~pairs.held_out),
        held_out=side(pairs.held_out),
        voxel_size_nm=run.open_volumes()[0].voxel_size_nm,
        size_vx=run.config.cubes.size_vx,
        watch=watch_of(run, pairs),
    )
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
            on_warning=progress.say,
        )
    encoder.save(run.path(TRAINED.folder("encoder")))
    names = [*_encoder_files(TRAINED.folder("encoder")), "training/history.csv"]
    if run.config.monitor.tensorboard:
        names.append(f"training/{EVENTS}")
    return Outcome(tuple(names), rows=len(pairs))


def _numbers(pairs: PairTable) -> NDArray[np.int64]:
    """A number for each pair's segment: ids do not fit into the integers that tensors have."""
    return np.unique(pairs.segment_ids, return_inverse=True)[1].astype(np.int64)


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
