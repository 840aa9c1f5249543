"""Stage ``skeletonize`` for ``skeletons.source: url``: skeletons read from elsewhere, shard by shard.

There are ``skeletons.n_shards`` shards, by the hash that also divides embeddings. Beside each vertex table
stands a list of the segments that have none, and why.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from pipelines.blocks import Stage
from pipelines.records import Outcome
from pipelines.run import Run
from pipelines.segment_ids import read_segment_ids
from pipelines.skeletonize import vertex_table
from segclr import files
from segclr.config import SkeletonConfig, digest
from segclr.data.skeleton import Skeleton
from segclr.data.skeleton_check import check_frame, shares_outside
from segclr.data.skeleton_sources import open_skeletons
from segclr.errors import ConfigError, DataError
from segclr.store.embeddings import shard_name, shard_of
from segclr.store.parquet import write_columns

__all__ = ["import_skeletons_stage"]

_SAMPLE = 64
"""Skeletons read beforehand, to find a wrong unit or frame before all the others are read."""


def import_skeletons_stage(run: Run) -> Stage:
    """One part for each shard of segment ids.

    Raises:
        ConfigError: the configuration names no URL of skeletons.
        DataError: there is no segment id, the source lists none and no list is given, it has none of those
            listed, or most vertices of its skeletons lie outside their segments.
    """
    _segment_ids.cache_clear()  # a list opened anew is read anew: it may have been written again since
    _check_source(run)
    n_shards = run.config.skeletons.n_shards
    inputs = {
        "volume": run.volume_digest(),
        "skeletons": digest(run.config.skeletons),
        "segment_ids": files.sha256(_segment_ids(run.config.skeletons).tobytes()),
        "n_shards": str(n_shards),
    }
    parts = [shard_name(i, n_shards).removesuffix(".parquet") for i in range(n_shards)]
    return Stage("skeletonize", parts, functools.partial(_import, run), inputs)


@functools.lru_cache(maxsize=2)
def _segment_ids(config: SkeletonConfig) -> NDArray[np.uint64]:
    """The segments to read, sorted; once a process."""
    if config.url is None:
        msg = "skeletons.url is needed to read skeletons from elsewhere"
        raise ConfigError(msg)
    if config.segment_ids is not None:
        return read_segment_ids(config.segment_ids)
    ids = open_skeletons(config.url, unit_nm=config.unit_nm).segment_ids()
    if not len(ids):
        msg = f"{config.url} holds no skeleton"
        raise DataError(msg)
    return ids


def _check_source(run: Run) -> None:
    config = run.config.skeletons
    if config.max_outside < 1 or config.segment_ids is not None:
        sample = _sample(config)
        if config.max_outside < 1:
            check_frame(sample, run.open_segmentation(), max_outside=config.max_outside)


def _sample(config: SkeletonConfig) -> tuple[Skeleton, ...]:
    """Some skeletons, spread over the ids; where all of these are absent, the first found of the rest."""
    ids = _segment_ids(config)
    source = open_skeletons(str(config.url), unit_nm=config.unit_nm)
    rows = np.unique(np.linspace(0, len(ids) - 1, _SAMPLE).astype(np.int64))
    others = np.delete(ids, rows)
    for batch in (ids[rows], *(others[i : i + _SAMPLE] for i in range(0, len(others), _SAMPLE))):
        found = source.read(batch).skeletons
        if found:
            return found
    msg = f"none of the {len(ids)} listed segments ({config.segment_ids or config.url}) is in {config.url}"
    raise DataError(msg)


def _import(run: Run, part: str) -> Outcome:
    config = run.config.skeletons
    ids = _segment_ids(config)
    mine = ids[shard_of(ids, n_shards=run.config.skeletons.n_shards) == int(part.split("-")[1])]
    batch = open_skeletons(str(config.url), unit_nm=config.unit_nm).read(mine)
    shares = np.zeros(len(batch.skeletons))
    if config.max_outside < 1:
        segmentation = run.open_segmentation()
        shares = shares_outside(batch.skeletons, segmentation)
    both = list(zip(batch.skeletons, shares.tolist(), strict=True))
    empty = [s.segment_id for s, _ in both if not len(s)]
    kept = [s for s, share in both if len(s) and share <= config.max_outside]
    outside = {str(s.segment_id): share for s, share in both if share > config.max_outside}
    vertices = vertex_table(kept)
    names = (f"skeletons/{part}.parquet", f"skeletons/{part}.left_out.json")
    write_columns(run.path(names[0]), vertices.columns())
    # ids as text: a JSON number is a float to most readers
    left_out = {
        "absent": [str(i) for i in batch.absent.tolist()],
        "empty": [str(i) for i in empty],
        "share_outside": outside,
    }
    files.write_json(run.path(names[1]), left_out)
    counts = {
        "segments": len(kept),
        "trees": int((vertices.parents < 0).sum()),
        "absent": len(batch.absent),
        "empty": len(empty),
        "outside": len(outside),
        **batch.counts,
    }
    return Outcome(names, rows=len(vertices), counts=counts)
