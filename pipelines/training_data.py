"""What a run's encoder learns from: its pairs, and their cubes from the store or from the volume itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipelines.cubes import BLANK, STORE, pair_rows, rows_of_nodes, used_nodes
from pipelines.records import stage_counts, stage_digest
from pipelines.run import Run
from pipelines.watch import watch_digest, watch_of
from segclr import files
from segclr.config import digest
from segclr.data.pairs import PairTable
from segclr.data.volume import Volume
from segclr.errors import TrainingError
from segclr.store.cubes import open_cube_store
from segclr.store.parquet import read_columns

if TYPE_CHECKING:
    from segclr.train import CubeSource, TrainingData

__all__ = ["encoder_digest", "training_data", "training_inputs"]

Rows = NDArray[np.int64]


def training_inputs(run: Run) -> dict[str, str]:
    """Digests of what the trained encoder depends on."""
    config = run.config
    inputs = {
        "cubes": _cubes_digest(run),
        "pairs": stage_digest(run.url, "pairs"),
        "data": digest(config.data),
        "encoder": digest(config.encoder),
        "train": digest(config.train),
        "monitor": watch_digest(run),
        "seed": str(config.seed),
    }
    if config.encoder.init_from is not None:
        inputs["init_from"] = encoder_digest(config.encoder.init_from)
    return inputs


def _cubes_digest(run: Run) -> str:
    """Of all that decides the voxels of the cubes."""
    if run.config.data.source == "store":
        return stage_digest(run.url, "cubes")
    return digest(run.volume_digest(), run.config.cubes, stage_digest(run.url, "nodes"))


def encoder_digest(url: str) -> str:
    """Digest of a saved encoder's description, which holds that of its weights."""
    return files.sha256(files.read_bytes(files.join(url, "config.json")))


def training_data(run: Run, em: Volume, segmentation: Volume) -> TrainingData:
    """Pairs to learn from and pairs to watch by, and where their cubes come from.

    Args:
        run: whose pairs, and cubes where they are stored, are complete.
        em: the run's, opened.
        segmentation: the run's, opened.

    Raises:
        TrainingError: all stored cubes are blank.
        MissingDataError: the run has no pairs, or no cubes where they are to be stored.
    """
    from segclr.train import PairRows, TrainingData

    if run.config.data.source == "store":
        cubes, pairs, rows_a, rows_b = _stored(run)
    else:
        cubes, pairs, rows_a, rows_b = _of_volume(run, em, segmentation)
    # a number for each segment: ids do not fit into the integers that tensors have
    groups = np.unique(pairs.segment_ids, return_inverse=True)[1].astype(np.int64)

    def side(rows: NDArray[np.bool_]) -> PairRows:
        return PairRows(rows_a[rows], rows_b[rows], groups[rows], balance=run.config.data.balance)

    return TrainingData(
        cubes=cubes,
        training=side(~pairs.held_out),
        held_out=side(pairs.held_out),
        voxel_size_nm=em.voxel_size_nm,
        size_vx=run.config.cubes.size_vx,
        watch=watch_of(run, pairs),
        cubes_digest=_cubes_digest(run),
    )


def _stored(run: Run) -> tuple[CubeSource, PairTable, Rows, Rows]:
    from segclr.train import ArrayCubes

    n_cubes, counts = stage_counts(run.url, "cubes")
    if counts[BLANK] == n_cubes:
        msg = f"all {n_cubes} cubes are blank: {run.volume.em} is 0 in every segment; is it their EM?"
        raise TrainingError(msg)
    store = open_cube_store(run.path(STORE))
    cubes: CubeSource = store
    if len(store) * store.size_vx**3 <= run.config.train.memory_gb * 1e9:
        cubes = ArrayCubes(store.read(np.arange(len(store))))
    return cubes, *pair_rows(run)


def _of_volume(run: Run, em: Volume, segmentation: Volume) -> tuple[CubeSource, PairTable, Rows, Rows]:
    from segclr.train import VolumeCubes

    pairs = PairTable.from_columns(read_columns(run.path("pairs.parquet")))
    nodes = used_nodes(run, pairs)
    rows_a, rows_b = rows_of_nodes(nodes, pairs)
    cubes = VolumeCubes(
        em,
        segmentation,
        nodes.points_nm,
        nodes.segment_ids,
        size_vx=run.config.cubes.size_vx + 2 * run.config.cubes.margin_vx,
        cache_bytes=int(run.config.data.cache_gb * 1e9),
        augment=run.config.train.augment,
        content=run.config.cubes.content,
        rounding=run.config.cubes.rounding,
    )
    return cubes, pairs, rows_a, rows_b
