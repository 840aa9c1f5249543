"""Stages ``embed`` and ``compact``: vectors block by block, then shuffled to shards by segment.

A part of ``embed`` writes its rows by shard, so that a part of ``compact`` reads its own rows and no others:
one shard is in memory at a time, whatever the number of nodes.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipelines.blocks import Stage
from pipelines.lost import bridged_parents, lost_keys, lost_outcome
from pipelines.records import Outcome, made_by, stage_digest
from pipelines.run import EmbeddingSet, Run, missing_chunks
from pipelines.work_parts import part_nodes, work_parts
from segclr import files
from segclr.config import EmbedConfig, digest
from segclr.data.nodes import NodeTable
from segclr.errors import DataError, MissingDataError
from segclr.store.buckets import read_bucket, write_buckets
from segclr.store.embeddings import open_embeddings, shard_name, shard_of
from segclr.store.keys import KEY_COLUMNS, Comparison, compare_keys, keys_of
from segclr.store.parquet import read_columns, write_columns

if TYPE_CHECKING:
    from segclr.model.encoder import Encoder

__all__ = ["batch_size_stage", "check_complete", "compact_stage", "embed_stage"]

BATCH_SIZE = "batch_size.json"


def batch_size_stage(run: Run, which: EmbeddingSet) -> Stage:
    """One part, for ``embed.batch_size: auto``: a worker finds the batch size, and it is kept for all."""
    inputs = {"encoder": _encoder_digest(run, which), "embed": digest(run.config.embed)}
    return Stage(which.stage("batch-size"), ("batch-size",), functools.partial(_find, run, which), inputs)


def _find(run: Run, which: EmbeddingSet, _part: str) -> Outcome:
    from segclr.embed.batch_size import find_batch_size
    from segclr.model import resolve_device

    config = run.config.embed
    device = resolve_device(config.device)
    limit_gb = config.memory_gb
    if limit_gb is None and device.type == "cpu":
        limit_gb = 0.8 * run.config.cluster.memory_gb
    encoder = _encoder(run.path(which.folder("encoder")), _encoder_digest(run, which))
    n = find_batch_size(encoder, config=config, device=device, memory_gb=limit_gb)
    name = which.folder(BATCH_SIZE)
    files.write_json(run.path(name), {"batch_size": n, "device": device.type, "memory_gb": limit_gb})
    return Outcome((name,))


def _settled(run: Run, which: EmbeddingSet) -> EmbedConfig:
    """How to embed, with the batch size that was found where none is configured."""
    if run.config.embed.batch_size != "auto":
        return run.config.embed
    found = files.read_json(run.path(which.folder(BATCH_SIZE)))["batch_size"]
    return run.config.embed.model_copy(update={"batch_size": int(found)})


def embed_stage(run: Run, which: EmbeddingSet) -> Stage:
    """One part for each block that holds a node, or for some of them together, or for a piece of one."""
    nodes = stage_digest(run.url, "gather-nodes")
    inputs = {
        "volume": run.volume_digest(),
        "nodes": nodes,
        "encoder": _encoder_digest(run, which),
        "embed": digest(run.config.embed),
    }
    if run.config.embed.batch_size == "auto":
        inputs["batch_size"] = stage_digest(run.url, which.stage("batch-size"))
    work = functools.partial(_embed, run, which, inputs["encoder"])
    without = functools.partial(_embed_without, run, which)
    return Stage(which.stage("embed"), work_parts(run), work, inputs, without=without)


def _encoder_digest(run: Run, which: EmbeddingSet) -> str:
    """Of the description, which holds the weights' own.

    Raises:
        MissingDataError: there is no encoder yet.
    """
    url = run.path(which.folder("encoder"), "config.json")
    if not files.exists(url):
        msg = (
            f"{run.url} has no {which.name} encoder yet: run `segclr train` first (which copies the one of "
            "embed.encoder, where that is set), or `segclr run` for all"
        )
        raise MissingDataError(msg)
    return files.sha256(files.read_bytes(url))


@functools.lru_cache(maxsize=2)
def _encoder(url: str, _digest: str) -> Encoder:
    """The encoder, loaded once a worker; another one in the same folder is another one."""
    import torch

    from segclr.model.checkpoint import load_encoder

    torch.set_num_threads(1)
    return load_encoder(url)


def _embed(run: Run, which: EmbeddingSet, encoder_digest: str, part: str) -> Outcome:
    from segclr.embed.block import embed_nodes

    here = part_nodes(run, part)
    em, segmentation = run.open_volumes()
    vectors = embed_nodes(
        _encoder(run.path(which.folder("encoder")), encoder_digest),
        em,
        segmentation,
        points_nm=here.points_nm,
        segment_ids=here.segment_ids,
        config=_settled(run, which),
    )
    name = which.folder(f"parts/{part}.parquet")
    shards = shard_of(here.segment_ids, n_shards=run.config.embed.n_shards)
    write_buckets(run.path(name), {**here.columns(), "embedding": vectors}, shards)
    return Outcome((name,), rows=len(here), counts=missing_chunks(em, segmentation))


def _embed_without(run: Run, which: EmbeddingSet, part: str) -> Outcome:
    """What stands in for a part that is set aside: the list of its nodes."""
    files.remove(run.path(which.folder(f"parts/{part}.parquet")))
    return lost_outcome(run, which.stage("embed"), part, part_nodes(run, part))


def compact_stage(run: Run, which: EmbeddingSet) -> Stage:
    """One part for each shard."""
    n_shards = run.config.embed.n_shards
    inputs = {"embed": stage_digest(run.url, which.stage("embed")), "n_shards": str(n_shards)}
    parts = [shard_name(i, n_shards).removesuffix(".parquet") for i in range(n_shards)]
    return Stage(which.stage("compact"), parts, functools.partial(_compact, run, which), inputs)


def _compact(run: Run, which: EmbeddingSet, part: str) -> Outcome:
    shard = int(part.split("-")[1])
    written = files.glob(run.path(which.folder("parts")), "*.parquet")
    pieces = [read_bucket(u, shard) for u in made_by(run.url, which.stage("embed"), written)]
    merged = {k: np.concatenate([p.pop(k) for p in pieces]) for k in list(pieces[0])}
    order = np.lexsort((merged["node_id"], merged["segment_id"]))
    columns = {k: merged.pop(k)[order] for k in list(merged)}
    columns["parent"] = _parents_left(run, which, shard, columns["parent"])
    name = which.folder(f"embeddings/{part}.parquet")
    write_columns(run.path(name), columns)
    return Outcome((name,), rows=len(order))


def _parents_left(run: Run, which: EmbeddingSet, shard: int, parents: NDArray[np.int32]) -> NDArray[np.int32]:
    """Parents of a shard's rows, none of them a lost node."""
    lost = lost_keys(run, (which.stage("embed"),))
    if not len(lost):
        return parents
    n_shards = run.config.embed.n_shards
    shards = _node_shards_beside(run, shard, n_shards=n_shards)
    nodes = NodeTable.concatenate(NodeTable.from_columns(read_columns(url)) for url in shards)
    here = nodes.take(np.flatnonzero(shard_of(nodes.segment_ids, n_shards=n_shards) == shard))
    here = here.take(np.lexsort((here.node_ids, here.segment_ids)))
    return bridged_parents(here, np.isin(keys_of(here.columns()), lost))


def _node_shards_beside(run: Run, shard: int, *, n_shards: int) -> list[str]:
    """The shards of nodes that may hold segments of one of ``n_shards`` shards of embeddings.

    A segment's shards are its hash modulo their number, so shards of nodes and of embeddings share segments
    only where they are equal modulo the greatest common divisor of the two numbers.
    """
    nodes = files.glob(run.path("nodes"), "*.parquet")
    step = math.gcd(len(nodes), n_shards)
    return nodes[shard % step :: step]


def check_complete(run: Run, which: EmbeddingSet) -> int:
    """Check, shard by shard, that every node has exactly one embedding or is listed as lost.

    Answers how many embeddings there are.

    Raises:
        DataError: nodes are missing or doubled; the message counts them.
    """
    found = sum(_comparisons(run, which), start=Comparison())
    if not found.is_equal:
        msg = (
            f"{found.n_wanted} nodes, but {found.n_found} embeddings: {found.n_missing} nodes have none, "
            f"{found.n_doubled} come more than once and {found.n_foreign} are of no node, in "
            f"{run.path(which.folder('embeddings'))}"
        )
        raise DataError(msg)
    return found.n_found


def _comparisons(run: Run, which: EmbeddingSet) -> Iterator[Comparison]:
    """Nodes that are not lost against embeddings, of a few shards at a time."""
    lost = lost_keys(run, (which.stage("embed"),))
    embeddings = open_embeddings(run.path(which.folder("embeddings"))).shards
    step = math.gcd(len(files.glob(run.path("nodes"), "*.parquet")), len(embeddings))
    for first in range(step):
        wanted = _keys(_node_shards_beside(run, first, n_shards=len(embeddings)))
        yield compare_keys(wanted[~np.isin(wanted, lost)], _keys(embeddings[first::step]))


def _keys(urls: Sequence[str]) -> NDArray[Any]:
    return np.concatenate([keys_of(read_columns(url, KEY_COLUMNS)) for url in urls])
