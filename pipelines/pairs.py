"""Which segments are held out, and positive pairs on all of them.

segments    one part: split and number of pairs of every segment, from its cable length
draw-pairs  a part a shard of nodes
pairs       one part: all in one file
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.blocks import Stage
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
    "cell_types",
    "draw_stage",
    "held_out_segments",
    "labels_digest",
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
        "labels": labels_digest(run),
        "seed": str(run.config.seed),
    }
    return Stage("segments", ("all",), functools.partial(_allot, run), inputs, alone=True)


def _allot(run: Run, _part: str) -> Outcome:
    columns = read_folder(run.path(CABLES))
    columns = {k: v[np.argsort(columns["segment_id"])] for k, v in columns.items()}
    ids = columns["segment_id"]
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
    counts = {"held_out_segments": int(held_out.sum())}
    table = cell_types(run)
    if table is not None:
        absent = ~np.isin(table["segment_id"].to_numpy(), ids)
        counts["labels_of_segments_without_nodes"] = int(absent.sum())
    return Outcome(("segments.parquet", ALLOTMENT), rows=len(ids), counts=counts)


def _hold_out(run: Run, ids: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """By the labels' own split where they have one, else drawn, within each cell type where known."""
    table = cell_types(run)
    if table is not None and "split" in table:
        return np.isin(ids, table["segment_id"].to_numpy()[(table["split"] == "test").to_numpy()])
    strata = None
    if table is not None:
        known = {int(k): str(v) for k, v in zip(table["segment_id"], table["cell_type"], strict=True)}
        strata = np.array([known.get(int(i), "") for i in ids], dtype=str)
    return hold_out_segments(ids, share=run.config.pairs.held_out, seed=run.config.seed, strata=strata)


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


def cell_types(run: Run) -> pd.DataFrame | None:
    """The run's table of cell types, ids as uint64; None where it has none.

    Raises:
        LabelError: the table lacks a column, has an empty cell, names a segment twice, has ids that are not
            whole numbers from 1 to 2**64 - 1, or a split that is neither train nor test.
    """
    url = run.labels.cell_types
    if url is None:
        return None
    if url.endswith(".csv"):
        table = _read_csv(url)
    elif url.endswith(".parquet"):
        table = pd.DataFrame(read_columns(url))
    else:
        table = pd.DataFrame(read_folder(url))
    absent = {"segment_id", "cell_type"} - set(table)
    if absent:
        msg = f"{url} lacks the column {', '.join(sorted(absent))}; it has {', '.join(map(str, table))}"
        raise LabelError(msg)
    if table["segment_id"].dtype != np.uint64:
        msg = f"{url}: segment_id must be uint64, got {table['segment_id'].dtype}"
        raise LabelError(msg)
    if table["segment_id"].duplicated().any():
        first = int(table["segment_id"][table["segment_id"].duplicated()].iloc[0])
        msg = f"{url}: segment {first} comes more than once"
        raise LabelError(msg)
    if "split" in table and not set(table["split"]) <= {"train", "test"}:
        strange = sorted(set(table["split"]) - {"train", "test"})
        msg = f"{url}: split must be train or test in every row, got {', '.join(map(repr, strange[:3]))}"
        raise LabelError(msg)
    return table


def _read_csv(url: str) -> pd.DataFrame:
    """A CSV as text, its ids turned into uint64 without passing through float."""
    try:
        table = pd.read_csv(io.BytesIO(files.read_bytes(url)), dtype=str, keep_default_na=False)
    except (ValueError, UnicodeDecodeError) as error:
        msg = f"{url} is not a CSV table: {error}"
        raise LabelError(msg) from error
    if "segment_id" not in table:
        return table
    for row, text in enumerate(table["segment_id"]):
        if not (text.isascii() and text.isdigit() and 0 < int(text) < 2**64):
            msg = f"{url}, row {row + 2}: segment_id must be a whole number from 1 to 2**64 - 1, got {text!r}"
            raise LabelError(msg)
    for name in ("cell_type", "split"):
        empty = np.flatnonzero(table[name] == "") if name in table else np.zeros(0, dtype=np.int64)
        if len(empty):
            msg = f"{url}, row {empty[0] + 2}: {name} is empty; leave unlabelled segments out"
            raise LabelError(msg)
    ids = np.array([int(text) for text in table["segment_id"]], dtype=np.uint64)
    return table.assign(segment_id=ids)


def labels_digest(run: Run) -> str:
    """Digest of what the labels are, not only of where: an edited table is another input."""
    table = cell_types(run)
    content = "" if table is None else table.astype(str).to_csv(index=False)
    return digest(run.labels, files.sha256(content.encode()))
