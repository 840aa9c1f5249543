"""Places along the skeletons, each inside its own segment: three stages, so that no table is ever whole.

place-nodes  a part a file of skeletons: resample, filter; rows go to the block of voxels they lie in
snap-nodes   a part a block of the segmentation, which is read once; rows go to the shard of their segment
nodes        a part a shard: drop the lost, number, describe
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.blocks import Stage
from pipelines.lost import LOST_NODES, is_lost
from pipelines.records import Outcome, stage_counts, stage_digest
from pipelines.run import Run, missing_chunks
from pipelines.segment_ids import read_segment_ids
from segclr import files
from segclr.config import NodeConfig, digest
from segclr.data.clip import clip_skeleton, clip_to_box, drop_nodes
from segclr.data.cubes import block_of_voxels
from segclr.data.node_facts import cable_table, node_facts
from segclr.data.nodes import NodeTable, resample
from segclr.data.skeleton import Skeleton
from segclr.data.smooth import smooth
from segclr.data.snap import snap_points
from segclr.data.volume import Volume
from segclr.errors import DataError, MissingDataError
from segclr.geometry import voxels_of_points
from segclr.store.buckets import bucket_rows, read_bucket, write_buckets
from segclr.store.embeddings import shard_name, shard_of
from segclr.store.parquet import read_columns, write_columns

__all__ = [
    "CABLES",
    "check_nodes",
    "node_shards",
    "nodes_left",
    "nodes_stage",
    "place_nodes",
    "place_stage",
    "read_nodes",
    "snap_stage",
]

PLACED, SNAPPED, CABLES = "nodes-parts/placed", "nodes-parts/snapped", "nodes-parts/cables"


def place_stage(run: Run) -> Stage:
    """One part for each file of skeletons."""
    source = "tissue" if run.config.skeletons.source == "tissue" else "skeletonize"
    ids = _wanted_ids(run)
    inputs = {
        "volume": run.volume_digest(),
        source: stage_digest(run.url, source),
        "nodes": digest(run.config.nodes),
        "skeletons": digest(run.config.skeletons),
        "ids": "" if ids is None else files.sha256(ids.tobytes()),
    }
    parts = [
        u.rsplit("/", 1)[1].removesuffix(".parquet") for u in files.glob(run.skeletons_folder, "*.parquet")
    ]
    return Stage("place-nodes", parts, functools.partial(_place, run), inputs)


def _wanted_ids(run: Run) -> NDArray[np.uint64] | None:
    return None if run.config.nodes.ids is None else read_segment_ids(run.config.nodes.ids)


def place_nodes(skeleton: Skeleton, config: NodeConfig) -> NodeTable:
    """Nodes at the configured spacing along a skeleton, which is smoothed first."""
    return resample(smooth(skeleton, window_nm=config.smooth_nm), spacing_nm=config.spacing_nm)


def _place(run: Run, part: str) -> Outcome:
    vertices = NodeTable.from_columns(read_columns(files.join(run.skeletons_folder, f"{part}.parquet")))
    config, ids = run.config.nodes, _wanted_ids(run)
    names = ("segments", "segments_not_listed", "segments_too_short", "segments_outside_volume")
    counts = dict.fromkeys((*names, "vertices_outside_volume", "outside_box"), 0)
    segmentation = run.open_segmentation()
    reach = _reach_nm(segmentation, config)
    tables = []
    for segment_id, rows in vertices.segments():
        skeleton = Skeleton(
            segment_id, vertices.points_nm[rows], vertices.parents[rows], vertices.radii_nm[rows]
        )
        if ids is not None and not _is_among(segment_id, ids):
            counts["segments_not_listed"] += 1
        elif skeleton.cable_length_nm < config.min_cable_nm:
            counts["segments_too_short"] += 1
        else:
            counts["vertices_outside_volume"] += _n_beyond(skeleton, *reach)
            near = clip_skeleton(skeleton, *reach)
            counts["segments" if len(near) else "segments_outside_volume"] += 1
            if len(near):
                tables.append(place_nodes(near, config))
    nodes = NodeTable.concatenate(tables)
    if config.box_nm is not None:
        placed, nodes = len(nodes), clip_to_box(nodes, *config.box_nm)
        counts["outside_box"] = placed - len(nodes)
    name = f"{PLACED}/{part}.parquet"
    write_buckets(run.path(name), nodes.columns(), _block_numbers(run, nodes.points_nm, segmentation))
    return Outcome((name,), rows=len(nodes), counts=counts)


def _reach_nm(volume: Volume, config: NodeConfig) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corners (x, y, z) of the box beyond which no node can be moved into its segment."""
    size = np.asarray(volume.voxel_size_nm, dtype=np.float64)
    start, stop = np.asarray(volume.bounds.start) * size, np.asarray(volume.bounds.stop) * size
    return start - config.snap_nm, stop + config.snap_nm


def _n_beyond(skeleton: Skeleton, start_nm: NDArray[np.float64], stop_nm: NDArray[np.float64]) -> int:
    points = skeleton.points_nm
    return int(((points < start_nm) | (points > stop_nm)).any(axis=1).sum())


def _is_among(segment_id: int, ids: NDArray[np.uint64]) -> bool:
    row = int(np.searchsorted(ids, np.uint64(segment_id)))
    return row < len(ids) and int(ids[row]) == segment_id


def _block_numbers(run: Run, points_nm: NDArray[np.float32], volume: Volume) -> NDArray[np.int64]:
    """Number of the block of each point, z slowest; a point beyond the volume falls to the nearest block."""
    block = np.asarray(run.config.nodes.block_vx)
    grid = -(-np.asarray(volume.bounds.size) // block)
    voxels = voxels_of_points(points_nm, volume.voxel_size_nm)
    at = block_of_voxels(voxels, origin=volume.bounds.start, block_vx=run.config.nodes.block_vx)
    x, y, z = np.clip(at, 0, grid - 1).T
    return (z * grid[1] + y) * grid[0] + x


def snap_stage(run: Run) -> Stage:
    """One part for each block that holds a node.

    Raises:
        DataError: no block does.
    """
    inputs = {"volume": run.volume_digest(), "placed": stage_digest(run.url, "place-nodes")}
    placed = files.glob(run.path(PLACED), "*.parquet")
    blocks = sorted({block for url in placed for block in bucket_rows(url)})
    if not blocks:
        raise _nothing_left(run, dropped=0)
    parts = [f"block-{b:06d}" for b in blocks]
    work, without = (functools.partial(f, run) for f in (_snap, _snap_without))
    return Stage("snap-nodes", parts, work, inputs, without=without)


def _snap(run: Run, part: str) -> Outcome:
    columns = _gathered(run, PLACED, int(part.removeprefix("block-")))
    nodes = NodeTable.from_columns(columns)
    segmentation = run.open_segmentation()
    snapped = snap_points(nodes.points_nm, nodes.segment_ids, segmentation, reach_nm=run.config.nodes.snap_nm)
    columns |= {f"{a}_nm": np.ascontiguousarray(snapped.points_nm[:, i]) for i, a in enumerate("xyz")}
    name = f"{SNAPPED}/{part}.parquet"
    shards = shard_of(nodes.segment_ids, n_shards=run.config.nodes.n_shards)
    write_buckets(run.path(name), {**columns, "lost": snapped.lost}, shards)
    counts = {"moved": int(snapped.moved.sum()), "lost": int(snapped.lost.sum())}
    counts |= missing_chunks(segmentation)
    return Outcome((name,), rows=len(nodes), counts=counts)


def _snap_without(run: Run, part: str) -> Outcome:
    """What stands in for a block whose segmentation cannot be read: all its nodes are lost."""
    columns = _gathered(run, PLACED, int(part.removeprefix("block-")))
    lost = np.ones(len(columns["segment_id"]), dtype=bool)
    name = f"{SNAPPED}/{part}.parquet"
    shards = shard_of(columns["segment_id"], n_shards=run.config.nodes.n_shards)
    write_buckets(run.path(name), {**columns, "lost": lost}, shards)
    counts = {"moved": 0, "lost": len(lost), LOST_NODES: len(lost)}
    return Outcome((name,), rows=len(lost), counts=counts)


def _gathered(run: Run, folder: str, bucket: int) -> dict[str, NDArray[Any]]:
    """A bucket of every file of a folder, sorted by (segment_id, node_id)."""
    parts = [read_bucket(u, bucket) for u in files.glob(run.path(folder), "*.parquet")]
    merged = {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
    order = np.lexsort((merged["node_id"], merged["segment_id"]))
    return {k: v[order] for k, v in merged.items()}


def nodes_stage(run: Run) -> Stage:
    """One part for each shard of segments."""
    inputs = {"snapped": stage_digest(run.url, "snap-nodes"), "nodes": digest(run.config.nodes)}
    n_shards = run.config.nodes.n_shards
    parts = [shard_name(i, n_shards).removesuffix(".parquet") for i in range(n_shards)]
    return Stage("nodes", parts, functools.partial(_number, run), inputs)


def _number(run: Run, part: str) -> Outcome:
    columns = _gathered(run, SNAPPED, int(part.split("-")[1]))
    lost = columns.pop("lost")
    placed = NodeTable.concatenate([NodeTable.from_columns(columns)])
    nodes = drop_nodes(placed, lost)
    cables = cable_table(nodes)
    facts = node_facts(nodes, soma_radius_nm=run.config.nodes.soma_radius_nm)
    names = (f"nodes/{part}.parquet", f"{CABLES}/{part}.parquet")
    write_columns(run.path(names[0]), {**nodes.columns(), **facts})
    write_columns(run.path(names[1]), cables)
    counts = {
        "dropped": int(lost.sum()),
        "segments": len(cables["segment_id"]),
        "segments_dropped": len(list(placed.segments())) - len(cables["segment_id"]),
    }
    return Outcome(names, rows=len(nodes), counts=counts)


def check_nodes(run: Run) -> int:
    """Check that no node got lost uncounted between the stages; answers how many there are.

    Raises:
        DataError: the stages' counts contradict each other, or there is no node.
    """
    placed, snapped, kept = (_total(run, s, "rows") for s in ("place-nodes", "snap-nodes", "nodes"))
    dropped = _total(run, "nodes", "dropped")
    if not placed == snapped == kept + dropped:
        msg = f"{placed} nodes were placed, {snapped} looked up, {kept} kept and {dropped} dropped"
        raise DataError(msg)
    if not kept:
        raise _nothing_left(run, dropped=dropped)
    return kept


def _nothing_left(run: Run, *, dropped: int) -> DataError:
    """No node, and why, as far as the records tell."""
    names = (
        "segments",
        "segments_not_listed",
        "segments_too_short",
        "segments_outside_volume",
        "outside_box",
    )
    found = ", ".join(f"{name.replace('_', ' ')} {_total(run, 'place-nodes', name)}" for name in names)
    made = run.config.skeletons.source == "kimimaro"
    causes = ["the segmentation is empty"]
    if made:
        causes.append(f"skeletons.min_segment_vx ({run.config.skeletons.min_segment_vx}) is too large")
    nodes = run.config.nodes
    for key, value in (("ids", nodes.ids), ("box_nm", nodes.box_nm), ("min_cable_nm", nodes.min_cable_nm)):
        if value:
            causes.append(f"nodes.{key} leaves none")
    return DataError(f"no segment gets a node: {', or '.join(causes)}; {found}, dropped {dropped}")


def _total(run: Run, stage: str, name: str) -> int:
    """Sum of the rows, or of one of the counts, over a stage's records."""
    rows, counts = stage_counts(run.url, stage)
    return rows if name == "rows" else counts.get(name, 0)


def _urls(run: Run) -> list[str]:
    urls = files.glob(run.path("nodes"), "*.parquet")
    if not urls:
        msg = f"{run.url} has no nodes yet: run `segclr nodes` first, or `segclr run` for all"
        raise MissingDataError(msg)
    return urls


def node_shards(run: Run) -> Iterator[NodeTable]:
    """The nodes of a run, shard after shard, each of whole segments sorted by (segment_id, node_id).

    Raises:
        MissingDataError: the run has no nodes yet.
    """
    for url in _urls(run):
        yield NodeTable.from_columns(read_columns(url))


@functools.lru_cache(maxsize=2)
def _read(urls: tuple[str, ...]) -> NodeTable:
    return NodeTable.concatenate(NodeTable.from_columns(read_columns(u)) for u in urls)


def read_nodes(run: Run) -> NodeTable:
    """All nodes of a run in memory, sorted by (segment_id, node_id): for runs of some million nodes.

    Raises:
        MissingDataError: the run has no nodes yet.
    """
    return _read(tuple(_urls(run)))


def nodes_left(run: Run) -> NodeTable:
    """All nodes that no later stage lost, sorted by (segment_id, node_id); parents as in ``nodes/``."""
    nodes = read_nodes(run)
    lost = is_lost(run, nodes.segment_ids, nodes.node_ids)
    return nodes.take(np.flatnonzero(~lost)) if lost.any() else nodes
