"""Which segments are held out, and positive pairs on all of them.

segments    one part: split and number of pairs of every segment, from its cable length
draw-pairs  a part a shard of nodes
pairs       one part: all in one file
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipelines.blocks import Stage
from pipelines.labels import cell_types, segments_of, types_digest
from pipelines.nodes import CABLES
from pipelines.records import Outcome, stage_digest
from pipelines.run import Run
from segclr import files
from segclr.config import digest
from segclr.data.nodes import NodeTable
from segclr.data.pairs import PairTable, allot_pairs, draw_pairs
from segclr.data.split import hold_out_segments
from segclr.errors import DataError, LabelError
from segclr.store.parquet import read_columns, read_folder, write_columns

__all__ = [
    "draw_stage",
    "held_out_segments",
    "pairs_stage",
    "segments_stage",
]


ALLOTMENT = "pairs-parts/allotment.parquet"
_NODES_AT_ONCE = 1 << 20


def segments_stage(run: Run) -> Stage:
    """One part: who is held out, and how many pairs each segment gets; from one row a segment."""
    inputs = {
        "nodes": stage_digest(run.url, "nodes"),
        "pairs": digest(run.config.pairs),
        "labels": types_digest(run),
        "seed": str(run.config.seed),
    }
    return Stage("segments", ("all",), functools.partial(_allot, run), inputs, alone=True)


def _allot(run: Run, _part: str) -> Outcome:
    columns = read_folder(run.path(CABLES))
    columns = {k: v[np.argsort(columns["segment_id"])] for k, v in columns.items()}
    ids = columns["segment_id"]
    absent = _labels_without_nodes(run, ids)
    held_out = _hold_out(run, ids)
    n_pairs = allot_pairs(columns["cable_nm"], run.config.pairs)
    side = np.where(held_out, "held_out", "train").astype(object)
    write_columns(
        run.path("segments.parquet"),
        {"segment_id": ids, "split": side, "n_nodes": columns["n_nodes"], "cable_nm": columns["cable_nm"]},
    )
    some = n_pairs > 0
    write_columns(
        run.path(ALLOTMENT), {"segment_id": ids[some], "n_pairs": n_pairs[some], "held_out": held_out[some]}
    )
    counts = {"held_out_segments": int(held_out.sum()), **absent}
    return Outcome(("segments.parquet", ALLOTMENT), rows=len(ids), counts=counts)


def _labels_without_nodes(run: Run, ids: NDArray[np.uint64]) -> dict[str, int]:
    """How many rows of the table of cell types name a segment that has no node.

    Raises:
        LabelError: all do.
    """
    table = cell_types(run)
    if table is None:
        return {}
    n_absent = int((~np.isin(table["segment_id"].to_numpy(), ids)).sum())
    if n_absent == len(table):
        msg = f"none of the {n_absent} segments of {run.labels.cell_types} has a node in this volume"
        raise LabelError(msg)
    return {"labels_of_segments_without_nodes": n_absent}


def _hold_out(run: Run, ids: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """By the labels' own split where they have one and it counts, else drawn, within each cell type."""
    table, config = cell_types(run), run.config.pairs
    if table is not None and "split" in table and config.split == "labels":
        held_out = np.isin(ids, segments_of(table, "test"))
        if not held_out.any() or held_out.all():
            msg = (
                f"{run.labels.cell_types} leaves {(~held_out).sum()} of the {len(ids)} segments with nodes "
                f"to train on and holds {held_out.sum()} out; both sides need some"
            )
            raise LabelError(msg)
        return held_out
    strata = None
    if table is not None:
        known = {int(k): str(v) for k, v in zip(table["segment_id"], table["cell_type"], strict=True)}
        strata = np.array([known.get(int(i), "") for i in ids], dtype=str)
    return hold_out_segments(ids, share=config.held_out, seed=run.config.seed, strata=strata)


def draw_stage(run: Run) -> Stage:
    """One part for each shard of nodes."""
    inputs = {
        "nodes": stage_digest(run.url, "nodes"),
        "segments": stage_digest(run.url, "segments"),
        "pairs": digest(run.config.pairs),
        "seed": str(run.config.seed),
    }
    parts = [u.rsplit("/", 1)[1].removesuffix(".parquet") for u in files.glob(run.path("nodes"), "*.parquet")]
    return Stage("draw-pairs", parts, functools.partial(_draw, run), inputs)


def _draw(run: Run, part: str) -> Outcome:
    nodes = NodeTable.from_columns(read_columns(run.path("nodes", f"{part}.parquet")))
    allotment = read_columns(run.path(ALLOTMENT))
    nodes = nodes.take(np.isin(nodes.segment_ids, allotment["segment_id"]))
    drawn = [PairTable.concatenate([])]
    wanted = 0
    for some in _batches(nodes):
        rows = np.searchsorted(allotment["segment_id"], np.unique(some.segment_ids))
        n_pairs, held_out = allotment["n_pairs"][rows], allotment["held_out"][rows]
        wanted += int(n_pairs.sum())
        drawn.append(
            draw_pairs(some, run.config.pairs, n_pairs=n_pairs, held_out=held_out, seed=run.config.seed)
        )
    pairs = PairTable.concatenate(drawn)
    name = f"pairs-parts/drawn/{part}.parquet"
    write_columns(run.path(name), pairs.columns())
    return Outcome((name,), rows=len(pairs), counts={"without_partner": wanted - len(pairs)})


def _batches(nodes: NodeTable) -> Iterator[NodeTable]:
    """Whole segments, together up to a million nodes, or one that has more."""
    first = stop = 0
    for _, rows in nodes.segments():
        if rows.stop - first > _NODES_AT_ONCE and stop > first:
            yield nodes.take(np.arange(first, stop))
            first = stop
        stop = rows.stop
    if stop > first:
        yield nodes.take(np.arange(first, stop))


def pairs_stage(run: Run) -> Stage:
    """One part: the pairs of all shards in one file."""
    inputs = {"drawn": stage_digest(run.url, "draw-pairs")}
    return Stage("pairs", ("all",), functools.partial(_gather, run), inputs, alone=True)


def _gather(run: Run, _part: str) -> Outcome:
    urls = files.glob(run.path("pairs-parts/drawn"), "*.parquet")
    pairs = PairTable.concatenate(PairTable.from_columns(read_columns(u)) for u in urls)
    if not len(pairs):
        config = run.config.pairs
        msg = (
            f"no pair can be drawn: no node has a partner from pairs.min_distance_nm "
            f"{config.min_distance_nm:g} to pairs.max_distance_nm {config.max_distance_nm:g} of path"
        )
        raise DataError(msg)
    write_columns(run.path("pairs.parquet"), pairs.columns())
    short = run.config.pairs.n_pairs - len(pairs)
    return Outcome(("pairs.parquet",), rows=len(pairs), counts={"without_partner": short})


def held_out_segments(run: Run) -> set[int]:
    """Ids of the segments kept from training, as the pairs stage wrote them."""
    columns = read_columns(run.path("segments.parquet"))
    return {int(i) for i in columns["segment_id"][columns["split"] == "held_out"]}
