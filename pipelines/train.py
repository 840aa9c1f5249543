"""Stage ``train``: the encoder, in this process with all its cores or its GPU, resumed from checkpoints."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipelines.blocks import Stage
from pipelines.cubes import BLANK, STORE, pair_rows
from pipelines.progress import Progress, console
from pipelines.records import Outcome, stage_counts, stage_digest
from pipelines.run import TRAINED, UNTRAINED, Run
from pipelines.watch import watch_digest, watch_of
from segclr import files
from segclr.config import digest
from segclr.data.pairs import PairTable
from segclr.errors import TrainingError
from segclr.store.cubes import open_cube_store

if TYPE_CHECKING:
    from segclr.train.fit import TrainingData

__all__ = [
    "TRAINING_FILES",
    "encoder_digest",
    "tell_transfer",
    "train_stage",
    "training_data",
    "training_inputs",
    "untrained_stage",
    "use_threads",
]


def _encoder_files(folder: str) -> tuple[str, str]:
    return f"{folder}/model.safetensors", f"{folder}/config.json"


TRAINING_FILES = (*_encoder_files(TRAINED.folder("encoder")), "training/history.csv")


def train_stage(run: Run) -> Stage:
    """One part: the encoder."""
    return Stage("train", ("encoder",), functools.partial(_train, run), training_inputs(run), alone=True)


def _train(run: Run, _part: str) -> Outcome:
    from segclr.train.fit import train_encoder
    from segclr.train.tensorboard import EVENTS

    data, n_pairs = training_data(run)
    use_threads(run)
    transferred = tell_transfer(run)
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
    events = (f"training/{EVENTS}",) if run.config.monitor.tensorboard else ()
    return Outcome((*TRAINING_FILES, *transferred, *events), rows=n_pairs)


def tell_transfer(run: Run) -> tuple[str, ...]:
    """Tell which weights training starts from; answers the file that lists every tensor, if any."""
    from segclr.model.network import starting_weights

    transfer = starting_weights(run.config.encoder)
    if transfer is None:
        return ()
    console().print(f"train: {transfer}")
    name = "training/transfer.json"
    files.write_json(run.path(name), transfer.to_dict())
    return (name,)


def training_data(run: Run) -> tuple[TrainingData, int]:
    """The stored cubes and pairs of a run, and how many pairs there are.

    Raises:
        TrainingError: all cubes are blank.
    """
    from segclr.train.dataset import ArrayCubes, CubeSource, PairRows
    from segclr.train.fit import TrainingData

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
    return data, len(pairs)


def use_threads(run: Run) -> None:
    """As many as configured; starting local workers leaves OMP_NUM_THREADS=1 behind in this process."""
    import torch

    torch.set_num_threads(run.config.train.threads or len(os.sched_getaffinity(0)))


def training_inputs(run: Run) -> dict[str, str]:
    """Digests of what the trained encoder depends on."""
    config = run.config
    inputs = {
        "cubes": stage_digest(run.url, "cubes"),
        "pairs": stage_digest(run.url, "pairs"),
        "encoder": digest(config.encoder),
        "train": digest(config.train),
        "monitor": watch_digest(run),
        "seed": str(config.seed),
    }
    if config.encoder.init_from is not None:
        inputs["init_from"] = encoder_digest(config.encoder.init_from)
    return inputs


def encoder_digest(url: str) -> str:
    """Digest of a saved encoder's description, which holds that of its weights."""
    return files.sha256(files.read_bytes(files.join(url, "config.json")))


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
