"""Stage ``aggregate``: mean embeddings around each node, for every metric and radius, one part a shard."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np

from pipelines.blocks import Stage
from pipelines.lost import is_lost
from pipelines.records import Outcome, stage_digest
from pipelines.run import TRAINED, EmbeddingSet, Run
from segclr import files
from segclr.aggregate.attention import AttentionPooling
from segclr.aggregate.pool import aggregate
from segclr.config import AggregateConfig, Metric, Weighting, digest
from segclr.store.embeddings import EmbeddingTable, open_embeddings, shard_name
from segclr.store.parquet import read_columns, write_columns

__all__ = ["aggregate_stage", "aggregated_folder", "read_aggregated", "settings"]


def settings(config: AggregateConfig) -> Iterator[tuple[Metric, float]]:
    """Each metric with each radius above 0; radius 0 is the embedding itself."""
    for metric in config.metrics:
        for radius_um in config.radii_um:
            if radius_um > 0:
                yield metric, radius_um


def aggregated_folder(metric: Metric, radius_um: float) -> str:
    """Name of the folder of one setting."""
    return f"aggregated/{metric}-{radius_um:g}um"


def aggregate_stage(run: Run, which: EmbeddingSet) -> Stage:
    """One part for each shard; it holds whole segments, so it needs no other."""
    n_shards = run.config.embed.n_shards
    inputs = {
        "embeddings": stage_digest(run.url, which.stage("compact")),
        "aggregate": digest(run.config.aggregate),
    }
    weighting = _weighting(run, which)
    if isinstance(weighting, AttentionPooling):
        inputs["attention"] = weighting.digest
    parts = [shard_name(i, n_shards).removesuffix(".parquet") for i in range(n_shards)]
    return Stage(which.stage("aggregate"), parts, functools.partial(_aggregate, run, which), inputs)


def _aggregate(run: Run, which: EmbeddingSet, part: str) -> Outcome:
    columns = read_columns(run.path(which.folder("embeddings"), f"{part}.parquet"))
    table = EmbeddingTable.from_columns(columns)
    names = []
    weighting, spread = _weighting(run, which), run.config.aggregate.spread
    for metric, radius_um in settings(run.config.aggregate):
        mean = aggregate(table, radius_um=radius_um, metric=metric, weighting=weighting, spread=spread)
        name = which.folder(f"{aggregated_folder(metric, radius_um)}/{part}.parquet")
        averaged = {"embedding": mean.embeddings, "n_nodes": np.asarray(mean.n_nodes)}
        if mean.spread is not None:
            averaged["spread"] = mean.spread
        write_columns(run.path(name), {**columns, **averaged})
        names.append(name)
    return Outcome(tuple(names), rows=len(table))


def _weighting(run: Run, which: EmbeddingSet) -> Weighting | AttentionPooling:
    """As configured; a learned pooling knows the trained encoder, so others get the plain mean."""
    config = run.config.aggregate
    if config.attention is None:
        return config.weighting
    if which != TRAINED:
        return "uniform"
    fitted_on = str(files.read_json(run.path("encoder", "config.json"))["digest"])
    return AttentionPooling.load(config.attention, encoder_digest=fitted_on)


def read_aggregated(run: Run, which: EmbeddingSet, *, metric: Metric, radius_um: float) -> EmbeddingTable:
    """The nodes of one setting that no stage lost; radius 0 is the embeddings themselves."""
    folder = aggregated_folder(metric, radius_um) if radius_um > 0 else "embeddings"
    table = open_embeddings(run.path(which.folder(folder))).read_all()
    lost = is_lost(run, table.segment_ids, table.node_ids)
    return table.take(~lost) if lost.any() else table
