"""Stage ``cubes``: the masked cubes that training reads, one part a block.

Each block's rows begin at a shard of the store, so that no two blocks write one file. The index says which
row is which node, and is written first: it is the plan that every part follows.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from pipelines.blocks import Stage
from pipelines.lost import LOST_NODES, lost_parts
from pipelines.nodes import block_names, read_nodes
from pipelines.records import Outcome, stage_digest
from pipelines.run import Run, missing_chunks
from segclr.config import digest
from segclr.data.cubes import cut_cubes
from segclr.data.nodes import NodeTable
from segclr.data.pairs import PairTable
from segclr.store.cubes import create_cube_store, open_cube_store
from segclr.store.parquet import read_columns, write_columns

__all__ = ["cubes_stage", "lost_rows", "node_rows", "pair_rows"]

BLANK = "blank_cubes"
INDEX = "cubes_index.parquet"
STORE = "cubes.zarr"


def cubes_stage(run: Run) -> Stage:
    """One part for each block that holds a node of a pair."""
    inputs = {
        "volume": run.volume_digest(),
        "pairs": stage_digest(run.url, "pairs"),
        "cubes": digest(run.config.cubes),
    }
    _write_index(run)
    blocks = np.unique(read_columns(run.path(INDEX), ["block"])["block"].astype(str)).tolist()
    work, without = (functools.partial(f, run) for f in (_cut, _cut_without))
    return Stage("cubes", blocks, work, inputs, without=without)


def _write_index(run: Run) -> None:
    """Plan which row holds which node: rewriting it gives the same bytes."""
    nodes = read_nodes(run)
    pairs = PairTable.from_columns(read_columns(run.path("pairs.parquet")))
    used = np.zeros(len(nodes), dtype=bool)
    for side in (pairs.nodes_a, pairs.nodes_b):
        used[node_rows(nodes, pairs.segment_ids, side)] = True
    chosen = nodes.take(np.flatnonzero(used))
    _, segmentation = run.open_volumes()
    names = block_names(run, chosen, segmentation)
    order = np.argsort(names, kind="stable")
    shard = run.config.cubes.shard_cubes
    rows = np.empty(len(chosen), dtype=np.int64)
    first = 0
    for group in np.split(order, np.flatnonzero(names[order][1:] != names[order][:-1]) + 1):
        rows[group] = first + np.arange(len(group))
        first += -(-len(group) // shard) * shard
    chosen, names, rows = chosen.take(order), names[order], rows[order]
    columns = {k: v for k, v in chosen.columns().items() if k not in ("radius_nm", "parent")}
    size = run.config.cubes.size_vx + 2 * run.config.cubes.margin_vx
    create_cube_store(run.path(STORE), n_rows=first, size_vx=size, shard_cubes=shard)
    write_columns(run.path(INDEX), {"row": rows, "block": names, **columns})


def node_rows(
    nodes: NodeTable, segment_ids: NDArray[np.uint64], node_ids: NDArray[np.uint32]
) -> NDArray[np.int64]:
    """Row of each (segment_id, node_id) in a table sorted by them, whose node ids count from 0."""
    return np.searchsorted(nodes.segment_ids, segment_ids) + node_ids


def _cut(run: Run, part: str) -> Outcome:
    index = read_columns(run.path(INDEX))
    here = index["block"].astype(str) == part
    em, segmentation = run.open_volumes()
    store = open_cube_store(run.path(STORE))
    points = np.stack([index[f"{a}_nm"][here] for a in "xyz"], axis=1)
    cubes = cut_cubes(em, segmentation, points, index["segment_id"][here], size_vx=store.size_vx)
    written = store.write(int(index["row"][here][0]), cubes)
    names = tuple(u.removeprefix(f"{run.url}/") for u in written)
    occupied = np.count_nonzero(cubes, axis=(1, 2, 3))
    counts = {
        "voxels_within_segments": int(occupied.sum()),
        BLANK: int((occupied == 0).sum()),
        **missing_chunks(em, segmentation),
    }
    return Outcome(names, rows=len(cubes), counts=counts)


def _cut_without(run: Run, part: str) -> Outcome:
    """What stands in for a block that is set aside: blank cubes, which no pair is drawn to."""
    index = read_columns(run.path(INDEX))
    here = index["block"].astype(str) == part
    store = open_cube_store(run.path(STORE))
    blank = np.zeros((np.count_nonzero(here), *(store.size_vx,) * 3), dtype=np.uint8)
    written = store.write(int(index["row"][here][0]), blank)
    names = tuple(u.removeprefix(f"{run.url}/") for u in written)
    counts = {"voxels_within_segments": 0, BLANK: len(blank), LOST_NODES: len(blank)}
    return Outcome(names, rows=len(blank), counts=counts)


def lost_rows(run: Run, blocks: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Which rows of the index hold no cube, since their block was set aside, bool [n]."""
    return np.isin(blocks.astype(str), [part.part for part in lost_parts(run.url, "cubes")])


def pair_rows(run: Run) -> tuple[PairTable, NDArray[np.int64], NDArray[np.int64]]:
    """The pairs that have both cubes, with the cube store's row of each pair's two nodes, int64 [n] each."""
    index = read_columns(run.path(INDEX), ["row", "block", "segment_id", "node_id"])
    pairs = PairTable.from_columns(read_columns(run.path("pairs.parquet")))
    order = np.lexsort((index["node_id"], index["segment_id"]))
    key = np.array(
        list(zip(index["segment_id"][order], index["node_id"][order], strict=True)),
        dtype=[("segment", np.uint64), ("node", np.uint32)],
    )
    rows = []
    for side in (pairs.nodes_a, pairs.nodes_b):
        wanted = np.empty(len(pairs), dtype=key.dtype)
        wanted["segment"], wanted["node"] = pairs.segment_ids, side
        rows.append(index["row"][order][np.searchsorted(key, wanted)])
    lost = index["row"][lost_rows(run, index["block"])]
    whole = np.flatnonzero(~(np.isin(rows[0], lost) | np.isin(rows[1], lost)))
    return pairs.take(whole), rows[0][whole], rows[1][whole]
