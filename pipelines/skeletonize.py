"""Skeletons for every segment, in blocks: census -> sizes -> fragments -> skeletonize -> precomputed.

| stage | a part | writes |
|---|---|---|
| census | block | ``census/block-*.parquet``: voxels of each segment |
| sizes | shard of ids | ``sizes/shard-*.parquet``: the same, summed over blocks |
| fragments | block and the next plane | ``fragments/vertices|contacts/block-*.parquet`` |
| skeletonize | shard of ids | ``skeletons/shard-*.parquet``: joined, one tree a component |
| precomputed | shard of ids | ``skeletons/precomputed/``, for Neuroglancer |
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator

import numpy as np

from pipelines.blocks import Stage
from pipelines.deadline import LostProcessError, with_deadline
from pipelines.records import Outcome, stage_digest
from pipelines.run import Run, missing_chunks
from segclr import files
from segclr.config import digest
from segclr.data import skeleton_precomputed as neuroglancer
from segclr.data.census import Census, count_voxels
from segclr.data.fragments import Fragment, contact_columns, fragments_from_columns, vertex_columns
from segclr.data.join import join_fragments
from segclr.data.nodes import NodeTable
from segclr.data.skeleton import Skeleton
from segclr.data.skeletonize import find_components, shared_box, skeletonize_block
from segclr.data.volume import Volume
from segclr.errors import ConfigError, SkeletonError, VolumeError
from segclr.geometry import BoundingBox
from segclr.store.embeddings import shard_name, shard_of
from segclr.store.parquet import read_columns, write_columns

__all__ = [
    "census_stage",
    "fragments_stage",
    "precomputed_stage",
    "sizes_stage",
    "skeletonize_stage",
    "vertex_table",
]

BYTES_PER_VOXEL = 40
"""Most memory that a block takes, however large its segments: measured in benchmarks/skeletonize.py."""


def _blocks(run: Run, volume: Volume) -> dict[str, BoundingBox]:
    """The blocks of work, which tile the volume, by name; names sort in z, y, x order."""
    size = run.config.skeletons.block_vx
    named = {}
    for box in volume.bounds.blocks(size):
        x, y, z = ((a - b) // s for a, b, s in zip(box.start, volume.bounds.start, size, strict=True))
        named[f"block-z{z:04d}-y{y:04d}-x{x:04d}"] = box
    return named


def _shards(run: Run) -> list[str]:
    n_shards = run.config.skeletons.n_shards
    return [shard_name(i, n_shards).removesuffix(".parquet") for i in range(n_shards)]


def _mine(run: Run, part: str, segment_ids: np.ndarray) -> np.ndarray:
    """Which rows belong to a shard, bool [n]."""
    return shard_of(segment_ids, n_shards=run.config.skeletons.n_shards) == int(part.split("-")[1])


def census_stage(run: Run) -> Stage:
    """One part for each block."""
    segmentation = run.open_segmentation()
    inputs = {"volume": run.volume_digest(), "block_vx": str(run.config.skeletons.block_vx)}
    work, without = (functools.partial(f, run) for f in (_count, _count_without))
    return Stage("census", list(_blocks(run, segmentation)), work, inputs, without=without)


def _count(run: Run, part: str) -> Outcome:
    segmentation = run.open_segmentation()
    census = count_voxels(segmentation.read(_blocks(run, segmentation)[part]))
    name = f"census/{part}.parquet"
    write_columns(run.path(name), census.columns())
    counts = {"voxels_in_segments": int(census.n_voxels.sum()), **missing_chunks(segmentation)}
    return Outcome((name,), rows=len(census), counts=counts)


def _count_without(run: Run, part: str) -> Outcome:
    """What stands in for a block that cannot be read: nothing is in it."""
    name = f"census/{part}.parquet"
    write_columns(run.path(name), count_voxels(np.zeros((1, 1, 1), dtype=np.uint64)).columns())
    return Outcome((name,), counts={"voxels_in_segments": 0})


def sizes_stage(run: Run) -> Stage:
    """One part for each shard of segment ids."""
    inputs = {"census": stage_digest(run.url, "census"), "n_shards": str(run.config.skeletons.n_shards)}
    return Stage("sizes", _shards(run), functools.partial(_sum, run), inputs)


def _sum(run: Run, part: str) -> Outcome:
    found = (Census.from_columns(read_columns(u)) for u in files.glob(run.path("census"), "*.parquet"))
    census = Census.total(c.take(_mine(run, part, c.segment_ids)) for c in found)
    name = f"sizes/{part}.parquet"
    write_columns(run.path(name), census.columns())
    dust = census.n_voxels < run.config.skeletons.min_segment_vx
    counts = {"dust_segments": int(dust.sum()), "dust_voxels": int(census.n_voxels[dust].sum())}
    return Outcome((name,), rows=len(census), counts=counts)


def fragments_stage(run: Run) -> Stage:
    """One part for each block.

    Raises:
        VolumeError: no voxel belongs to a segment.
        ConfigError: a block does not fit into a worker's memory.
    """
    segmentation = run.open_segmentation()
    sizes = (read_columns(u, ["n_voxels"]) for u in files.glob(run.path("sizes"), "*.parquet"))
    if not any(len(s["n_voxels"]) for s in sizes):
        msg = f"the segmentation {segmentation.url} is empty: every voxel is 0"
        raise VolumeError(msg)
    blocks = _blocks(run, segmentation)
    needed = max(b.n_voxels for b in blocks.values()) * BYTES_PER_VOXEL / 1e9
    if needed > run.config.cluster.memory_gb:
        msg = (
            f"a block of skeletons.block_vx {run.config.skeletons.block_vx} takes up to {needed:.1f} GB, but "
            f"cluster.memory_gb is {run.config.cluster.memory_gb:g}: make the one smaller or the other larger"
        )
        raise ConfigError(msg)
    inputs = {
        "volume": run.volume_digest(),
        "sizes": stage_digest(run.url, "sizes"),
        "skeletons": digest(run.config.skeletons),
    }
    work, without = (functools.partial(f, run) for f in (_trace_in_time, _trace_without))
    return Stage("fragments", list(blocks), work, inputs, without=without)


def _trace_in_time(run: Run, part: str) -> Outcome:
    """Skeletonize a block in a process of its own, since no signal stops kimimaro's C code."""
    limit = run.config.cluster.block_time_s
    size = run.config.skeletons.block_vx
    try:
        return with_deadline(functools.partial(_trace, run, part), seconds=limit)
    except TimeoutError as error:
        msg = (
            f"{part} has no skeletons after cluster.block_time_s = {limit:g} s; raise that, or take another "
            f"run folder with skeletons.block_vx below {size}"
        )
        raise SkeletonError(msg) from error
    except LostProcessError as error:
        msg = f"{part}: {error}; where memory ran out, make skeletons.block_vx {size} smaller"
        raise LostProcessError(msg) from error


def _trace(run: Run, part: str) -> Outcome:
    segmentation = run.open_segmentation()
    block = _blocks(run, segmentation)[part]
    labels = segmentation.read(shared_box(block, segmentation.bounds))
    components = find_components(labels, _large(run, count_voxels(labels)))
    del labels
    fragments = skeletonize_block(
        components,
        run.config.skeletons,
        voxel_size_nm=segmentation.voxel_size_nm,
        block=block,
        bounds=segmentation.bounds,
    )
    return _write_fragments(run, part, fragments)


def _trace_without(run: Run, part: str) -> Outcome:
    """What stands in for a block that is set aside: segments end at its faces."""
    return _write_fragments(run, part, [])


def _write_fragments(run: Run, part: str, fragments: list[Fragment]) -> Outcome:
    names = (f"fragments/vertices/{part}.parquet", f"fragments/contacts/{part}.parquet")
    vertices, contacts = vertex_columns(fragments), contact_columns(fragments)
    write_columns(run.path(names[0]), vertices)
    write_columns(run.path(names[1]), contacts)
    counts = {"fragments": len(fragments), "contacts": len(contacts["fragment"])}
    return Outcome(names, rows=len(vertices["fragment"]), counts=counts)


def _large(run: Run, here: Census) -> np.ndarray:
    """The segments of a block that are no dust in the whole volume, uint64 [n], sorted."""
    large = []
    for url in files.glob(run.path("sizes"), "*.parquet"):
        sizes = Census.from_columns(read_columns(url))
        kept = sizes.take(sizes.n_voxels >= run.config.skeletons.min_segment_vx)
        large.append(np.intersect1d(kept.segment_ids, here.segment_ids, assume_unique=True))
    return np.sort(np.concatenate(large))


def skeletonize_stage(run: Run) -> Stage:
    """One part for each shard of segment ids."""
    inputs = {"fragments": stage_digest(run.url, "fragments"), "skeletons": digest(run.config.skeletons)}
    return Stage("skeletonize", _shards(run), functools.partial(_join, run), inputs)


def _join(run: Run, part: str) -> Outcome:
    segmentation = run.open_segmentation()
    config = run.config.skeletons
    by_segment: dict[int, list[Fragment]] = {}
    for fragment in _fragments(run, part):
        by_segment.setdefault(fragment.skeleton.segment_id, []).append(fragment)
    skeletons = [
        join_fragments(
            by_segment.pop(segment_id),
            voxel_size_nm=segmentation.voxel_size_nm,
            cover=(config.teasar_scale, config.teasar_const_nm),
        )
        for segment_id in sorted(by_segment)
    ]
    name = f"skeletons/{part}.parquet"
    vertices = vertex_table(skeletons)
    write_columns(run.path(name), vertices.columns())
    counts = {"segments": len(skeletons), "trees": int((vertices.parents < 0).sum())}
    return Outcome((name,), rows=len(vertices), counts=counts)


def _fragments(run: Run, part: str) -> Iterator[Fragment]:
    """The fragments of a shard's segments, of all blocks."""
    for url in files.glob(run.path("fragments/vertices"), "*.parquet"):
        tables = []
        for source in (url, run.path("fragments/contacts", url.rsplit("/", 1)[1])):
            columns = read_columns(source)
            rows = _mine(run, part, columns["segment_id"])
            tables.append({k: v[rows] for k, v in columns.items()})
        yield from fragments_from_columns(*tables)


def vertex_table(skeletons: list[Skeleton]) -> NodeTable:
    """Skeletons as a table of vertices: the columns of nodes, before they are resampled."""
    return NodeTable.concatenate(
        NodeTable(
            segment_ids=np.full(len(s), s.segment_id, dtype=np.uint64),
            node_ids=np.arange(len(s), dtype=np.uint32),
            points_nm=s.points_nm,
            radii_nm=s.radii_nm,
            parents=s.parents,
        )
        for s in skeletons
    )


def precomputed_stage(run: Run) -> Stage:
    """One part for each shard; the first also writes the info file."""
    config = run.config.skeletons
    inputs = {"skeletonize": stage_digest(run.url, "skeletonize"), "precomputed": config.precomputed}
    if config.precomputed == "unsharded":
        return Stage("precomputed", _shards(run), functools.partial(_write_files, run), inputs)
    parts = neuroglancer.shard_names(config.n_shards)
    return Stage("precomputed", parts, functools.partial(_write_shard, run), inputs)


def _write_files(run: Run, part: str) -> Outcome:
    names = [] if part != _shards(run)[0] else [_write_info(run, None)]
    for skeleton in _skeletons(run, [part]):
        names.append(f"skeletons/precomputed/{skeleton.segment_id}")
        files.write_bytes(run.path(names[-1]), neuroglancer.encode_skeleton(skeleton))
    return Outcome(tuple(names), rows=len(names))


def _write_shard(run: Run, part: str) -> Outcome:
    n_shards = run.config.skeletons.n_shards
    names = [] if part != neuroglancer.shard_names(n_shards)[0] else [_write_info(run, n_shards)]
    own = [
        s
        for s in _skeletons(run, _shards(run))
        if neuroglancer.shards_of(np.array([s.segment_id], np.uint64), n_shards=n_shards)[0] == part
    ]
    if own:
        names.append(f"skeletons/precomputed/{part}.shard")
        files.write_bytes(run.path(names[-1]), neuroglancer.shard_bytes(own, n_shards=n_shards))
    return Outcome(tuple(names), rows=len(own))


def _write_info(run: Run, n_shards: int | None) -> str:
    name = "skeletons/precomputed/info"
    files.write_bytes(run.path(name), neuroglancer.info_bytes(n_shards))
    return name


def _skeletons(run: Run, shards: Iterable[str]) -> Iterator[Skeleton]:
    for shard in shards:
        table = NodeTable.from_columns(read_columns(run.path(f"skeletons/{shard}.parquet")))
        for segment_id, rows in table.segments():
            yield Skeleton(segment_id, table.points_nm[rows], table.parents[rows], table.radii_nm[rows])
