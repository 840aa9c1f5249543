"""Stages ``embed`` and ``compact``: vectors block by block, then shuffled to shards by segment."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipelines.blocks import Stage
from pipelines.lost import bridged_parents, is_lost, lost_outcome
from pipelines.nodes import block_names, read_nodes
from pipelines.records import Outcome, stage_digest
from pipelines.run import EmbeddingSet, Run, missing_chunks
from segclr import files
from segclr.config import digest
from segclr.errors import DataError
from segclr.store.embeddings import open_embeddings, shard_name, shard_of
from segclr.store.parquet import read_columns, write_columns

if TYPE_CHECKING:
    from segclr.model.encoder import Encoder

__all__ = ["check_complete", "compact_stage", "embed_stage"]


def embed_stage(run: Run, which: EmbeddingSet) -> Stage:
    """One part for each block that holds a node."""
    encoder = run.path(which.folder("encoder"))
    inputs = {
        "volume": run.volume_digest(),
        "nodes": stage_digest(run.url, "nodes"),
        "encoder": files.sha256(files.read_bytes(files.join(encoder, "config.json"))),
        "embed": digest(run.config.embed),
    }
    nodes = read_nodes(run)
    _, segmentation = run.open_volumes()
    parts = np.unique(block_names(run, nodes, segmentation)).tolist()
    work, without = (functools.partial(f, run, which) for f in (_embed, _embed_without))
    return Stage(which.stage("embed"), parts, work, inputs, without=without)


@functools.lru_cache(maxsize=2)
def _encoder(url: str) -> Encoder:
    """The encoder, loaded once a worker."""
    import torch

    from segclr.model.checkpoint import load_encoder

    torch.set_num_threads(1)
    return load_encoder(url)


def _embed(run: Run, which: EmbeddingSet, part: str) -> Outcome:
    from segclr.embed.block import embed_nodes

    nodes = read_nodes(run)
    em, segmentation = run.open_volumes()
    here = nodes.take(np.flatnonzero(block_names(run, nodes, segmentation) == part))
    encoder = _encoder(run.path(which.folder("encoder")))
    vectors = embed_nodes(
        encoder,
        em,
        segmentation,
        points_nm=here.points_nm,
        segment_ids=here.segment_ids,
        config=run.config.embed,
    )
    name = which.folder(f"parts/{part}.parquet")
    write_columns(run.path(name), {**here.columns(), "embedding": vectors})
    return Outcome((name,), rows=len(here), counts=missing_chunks(em, segmentation))


def _embed_without(run: Run, which: EmbeddingSet, part: str) -> Outcome:
    """What stands in for a part that is set aside: the list of its nodes."""
    nodes = read_nodes(run)
    segmentation = run.open_volumes()[1]
    here = nodes.take(np.flatnonzero(block_names(run, nodes, segmentation) == part))
    files.remove(run.path(which.folder(f"parts/{part}.parquet")))
    return lost_outcome(run, which.stage("embed"), part, here)


def compact_stage(run: Run, which: EmbeddingSet) -> Stage:
    """One part for each shard."""
    n_shards = run.config.embed.n_shards
    inputs = {"embed": stage_digest(run.url, which.stage("embed")), "n_shards": str(n_shards)}
    parts = [shard_name(i, n_shards).removesuffix(".parquet") for i in range(n_shards)]
    return Stage(which.stage("compact"), parts, functools.partial(_compact, run, which), inputs)


def _compact(run: Run, which: EmbeddingSet, part: str) -> Outcome:
    n_shards = run.config.embed.n_shards
    pieces = []
    for url in files.glob(run.path(which.folder("parts")), "*.parquet"):
        columns = read_columns(url)
        mine = shard_of(columns["segment_id"], n_shards=n_shards) == int(part.split("-")[1])
        pieces.append({k: v[mine] for k, v in columns.items()})
    merged = {k: np.concatenate([p[k] for p in pieces]) for k in pieces[0]}
    order = np.lexsort((merged["node_id"], merged["segment_id"]))
    columns = {k: v[order] for k, v in merged.items()}
    columns["parent"] = _parents_left(run, which, part, columns["parent"])
    name = which.folder(f"embeddings/{part}.parquet")
    write_columns(run.path(name), columns)
    return Outcome((name,), rows=len(order))


def _parents_left(run: Run, which: EmbeddingSet, part: str, parents: NDArray[np.int32]) -> NDArray[np.int32]:
    """Parents of a shard's rows, none of them a lost node."""
    if not files.exists(run.path("lost", which.stage("embed"))):
        return parents
    nodes = read_nodes(run)
    mine = shard_of(nodes.segment_ids, n_shards=run.config.embed.n_shards) == int(part.split("-")[1])
    here = nodes.take(np.flatnonzero(mine))
    lost = is_lost(run, here.segment_ids, here.node_ids, stages=(which.stage("embed"),))
    return bridged_parents(here, lost) if lost.any() else parents


def check_complete(run: Run, which: EmbeddingSet) -> int:
    """Check that every node has exactly one embedding, or is listed as lost; answers how many have one.

    Raises:
        DataError: nodes are missing or doubled; the message counts them.
    """
    nodes = read_nodes(run)
    table = open_embeddings(run.path(which.folder("embeddings"))).read_all()
    kept = ~is_lost(run, nodes.segment_ids, nodes.node_ids, stages=(which.stage("embed"),))
    wanted, found = (
        _keys(nodes.segment_ids[kept], nodes.node_ids[kept]),
        _keys(table.segment_ids, table.node_ids),
    )
    if wanted != found:
        missing, surplus = len(set(wanted) - set(found)), len(found) - len(set(found))
        msg = (
            f"{len(wanted)} nodes, but {len(found)} embeddings: {missing} nodes have none and {surplus} come "
            f"more than once in {run.path(which.folder('embeddings'))}"
        )
        raise DataError(msg)
    return len(found)


def _keys(segment_ids: NDArray[Any], node_ids: NDArray[Any]) -> list[tuple[int, int]]:
    return sorted(zip(map(int, segment_ids), map(int, node_ids), strict=True))
