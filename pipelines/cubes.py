"""Stage ``cubes``: the cubes that training reads, one part a block.

Each block's rows begin at a shard of the store, so that no two blocks write one file. The index says which
row is which node, and is written first: it is the plan that every part follows. Within a block rows go along
z, as the volume is swept, so that a part holds one shard of cubes at a time. What the cubes hold is written
beside them, by part: ``cubes_statistics/``.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from pipelines.blocks import Stage
from pipelines.lost import LOST_NODES, lost_parts
from pipelines.node_blocks import work_grid
from pipelines.nodes import node_shards
from pipelines.records import Outcome, broken_files, commit, note_total, read_record, stage_digest
from pipelines.run import Run, missing_chunks
from segclr import files
from segclr.config import digest
from segclr.data.cube_statistics import cube_statistics, summarise_cubes
from segclr.data.cubes import cut_by_window
from segclr.data.curve import hilbert_index
from segclr.data.nodes import NodeTable
from segclr.data.pairs import PairTable
from segclr.geometry import voxels_of_points
from segclr.store.buckets import bucket_rows, read_bucket, write_buckets
from segclr.store.cubes import create_cube_store, open_cube_store
from segclr.store.keys import find_keys, keys_of
from segclr.store.parquet import read_columns, read_folder, write_columns

__all__ = ["cube_summary", "cubes_stage", "lost_rows", "pair_rows", "rows_of_nodes", "used_nodes"]

BLANK = "blank_cubes"
INDEX = "cubes_index.parquet"
STORE = "cubes.zarr"
STATISTICS = "cubes_statistics"


def cubes_stage(run: Run) -> Stage:
    """One part for each block that holds a node of a pair."""
    inputs = {
        "volume": run.volume_digest(),
        "pairs": stage_digest(run.url, "pairs"),
        "cubes": digest(run.config.cubes),
    }
    _write_index(run, inputs)
    parts = [_part_name(block) for block in sorted(bucket_rows(run.path(INDEX)))]
    work, without = (functools.partial(f, run) for f in (_cut, _cut_without))
    return Stage("cubes", parts, work, inputs, without=without)


def _part_name(block: int) -> str:
    return f"block-{block:08d}"


def used_nodes(run: Run, pairs: PairTable) -> NodeTable:
    """The nodes of some pairs, sorted by (segment_id, node_id); all nodes are read, a shard at a time."""
    sides = [
        keys_of({"segment_id": pairs.segment_ids, "node_id": side}) for side in (pairs.nodes_a, pairs.nodes_b)
    ]
    wanted = np.unique(np.concatenate(sides))
    return NodeTable.concatenate(
        shard.take(np.flatnonzero(find_keys(wanted, keys_of(shard.columns())) >= 0))
        for shard in node_shards(run)
    )


def rows_of_nodes(nodes: NodeTable, pairs: PairTable) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row of each pair's two nodes in a table sorted by (segment_id, node_id), int64 [n] each."""
    keys = keys_of(nodes.columns())
    sides = [keys_of({"segment_id": pairs.segment_ids, "node_id": n}) for n in (pairs.nodes_a, pairs.nodes_b)]
    return find_keys(keys, sides[0]), find_keys(keys, sides[1])


def _write_index(run: Run, inputs: Mapping[str, str]) -> None:
    """Plan which row holds which node, once: it has a record of its own."""
    record = read_record(run.url, "cubes-index", "index")
    if record is not None and record.inputs == dict(inputs) and not broken_files(run.url, record):
        return
    chosen = used_nodes(run, PairTable.from_columns(read_columns(run.path("pairs.parquet"))))
    segmentation = run.open_segmentation()
    voxels = voxels_of_points(chosen.points_nm, segmentation.voxel_size_nm)
    size = run.config.cubes.size_vx + 2 * run.config.cubes.margin_vx
    blocks = hilbert_index(work_grid(run, segmentation, size_vx=size).blocks_of(voxels))
    x, y, z = voxels.T
    order = np.lexsort((chosen.node_ids, chosen.segment_ids, x, y, z, blocks))
    chosen, blocks = chosen.take(order), blocks[order]
    shard = run.config.cubes.shard_cubes
    _, begins, counts = np.unique(blocks, return_index=True, return_counts=True)
    n_shards = -(-counts // shard)
    first = (np.cumsum(n_shards) - n_shards) * shard
    rows = np.repeat(first - begins, counts) + np.arange(len(chosen))
    columns = {k: v for k, v in chosen.columns().items() if k not in ("radius_nm", "parent")}
    n_rows = int(n_shards.sum()) * shard
    create_cube_store(run.path(STORE), n_rows=n_rows, size_vx=size, shard_cubes=shard)
    write_buckets(run.path(INDEX), {"row": rows, "block": blocks, **columns}, blocks)
    note_total(run.url, "cubes-index", 1)
    outcome = Outcome((INDEX, f"{STORE}/zarr.json"), rows=len(chosen))
    commit(run.url, "cubes-index", "index", outcome, inputs=inputs)


def _cut(run: Run, part: str) -> Outcome:
    here = read_bucket(run.path(INDEX), int(part.removeprefix("block-")))
    em, segmentation = run.open_volumes()
    store = open_cube_store(run.path(STORE))
    points = np.stack([here[f"{a}_nm"] for a in "xyz"], axis=1)
    cut = cut_by_window(
        em,
        segmentation,
        points,
        here["segment_id"],
        size_vx=store.size_vx,
        most=store.shard_cubes,
        content=run.config.cubes.content,
        rounding=run.config.cubes.rounding,
    )
    names, statistics = [], []
    for rows, cubes in _by_shard(cut, store.shard_cubes):
        names += store.write(int(here["row"][rows[0]]), cubes)
        statistics.append({"row": here["row"][rows], **cube_statistics(cubes)})
    columns = {k: np.concatenate([s[k] for s in statistics]) for k in statistics[0]}
    name = f"{STATISTICS}/{part}.parquet"
    write_columns(run.path(name), columns)
    occupied = np.rint(columns["occupancy"].astype(np.float64) * store.size_vx**3)
    counts = {
        "voxels_within_segments": int(occupied.sum()),
        BLANK: int((occupied == 0).sum()),
        **missing_chunks(em, segmentation),
    }
    return Outcome((*(u.removeprefix(f"{run.url}/") for u in names), name), rows=len(points), counts=counts)


def _by_shard(
    pieces: Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]], shard: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
    """The same rows and cubes, which come in ascending order, so many at a time."""
    rows, cubes, n = [], [], 0
    for some, cut in pieces:
        while len(some):
            taken = min(shard - n, len(some))
            rows.append(some[:taken])
            cubes.append(cut[:taken])
            some, cut, n = some[taken:], cut[taken:], n + taken
            if n == shard:
                yield np.concatenate(rows), np.concatenate(cubes)
                rows, cubes, n = [], [], 0
    if rows:
        yield np.concatenate(rows), np.concatenate(cubes)


def cube_summary(run: Run) -> dict[str, float]:
    """What the stored cubes hold: occupancy and grey range; nothing before they are cut.

    For the report and for whoever asks; ``cubes_statistics/`` has a row a cube.
    """
    columns = read_folder(run.path(STATISTICS))
    return summarise_cubes(columns) if columns else {}


def _cut_without(run: Run, part: str) -> Outcome:
    """What stands in for a block that is set aside: blank cubes, which no pair is drawn to."""
    here = read_bucket(run.path(INDEX), int(part.removeprefix("block-")))
    store = open_cube_store(run.path(STORE))
    blank = np.zeros((store.shard_cubes, *(store.size_vx,) * 3), dtype=np.uint8)
    names = []
    for first in range(0, len(here["row"]), store.shard_cubes):
        names += store.write(int(here["row"][first]), blank[: len(here["row"]) - first])
    files.remove(run.path(f"{STATISTICS}/{part}.parquet"))
    counts = {"voxels_within_segments": 0, BLANK: len(here["row"]), LOST_NODES: len(here["row"])}
    return Outcome(tuple(u.removeprefix(f"{run.url}/") for u in names), rows=len(here["row"]), counts=counts)


def lost_rows(run: Run, blocks: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Which rows of the index hold no cube, since their block was set aside, bool [n]."""
    lost = {part.part for part in lost_parts(run.url, "cubes")}
    return np.isin(blocks, [int(name.removeprefix("block-")) for name in sorted(lost)])


def pair_rows(run: Run) -> tuple[PairTable, NDArray[np.int64], NDArray[np.int64]]:
    """The pairs that have both cubes, with the cube store's row of each pair's two nodes, int64 [n] each."""
    index = read_columns(run.path(INDEX), ["row", "block", "segment_id", "node_id"])
    pairs = PairTable.from_columns(read_columns(run.path("pairs.parquet")))
    order = np.lexsort((index["node_id"], index["segment_id"]))
    keys = keys_of({k: index[k][order] for k in ("segment_id", "node_id")})
    at = [
        find_keys(keys, keys_of({"segment_id": pairs.segment_ids, "node_id": side}))
        for side in (pairs.nodes_a, pairs.nodes_b)
    ]
    rows_a, rows_b = (index["row"][order][side] for side in at)
    lost = index["row"][lost_rows(run, index["block"])]
    whole = np.flatnonzero(~(np.isin(rows_a, lost) | np.isin(rows_b, lost)))
    return pairs.take(whole), rows_a[whole], rows_b[whole]
