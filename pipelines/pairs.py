"""Stage ``pairs``: which segments are held out, and positive pairs on all of them."""

from __future__ import annotations

import functools
import io

import numpy as np
import pandas as pd

from pipelines.blocks import Stage
from pipelines.nodes import read_nodes
from pipelines.records import Outcome, stage_digest
from pipelines.run import Run
from segclr import files
from segclr.config import digest
from segclr.data.nodes import NodeTable
from segclr.data.pairs import sample_pairs
from segclr.data.split import hold_out_segments
from segclr.errors import LabelError
from segclr.store.parquet import read_columns, read_folder, write_columns

__all__ = ["cell_types", "held_out_segments", "labels_digest", "pairs_stage"]


def pairs_stage(run: Run) -> Stage:
    """One part: pairs of the whole run are few."""
    inputs = {
        "nodes": stage_digest(run.url, "nodes"),
        "pairs": digest(run.config.pairs),
        "labels": labels_digest(run),
        "seed": str(run.config.seed),
    }
    return Stage("pairs", ("all",), functools.partial(_sample, run), inputs, alone=True)


def _sample(run: Run, _part: str) -> Outcome:
    nodes = read_nodes(run)
    held_out = _hold_out(run, nodes)
    table = cell_types(run)
    pairs = sample_pairs(nodes, run.config.pairs, held_out=held_out, seed=run.config.seed)
    ids = np.unique(nodes.segment_ids)
    side = np.array(["held_out" if int(i) in held_out else "train" for i in ids], dtype=object)
    write_columns(run.path("segments.parquet"), {"segment_id": ids, "split": side})
    write_columns(run.path("pairs.parquet"), pairs.columns())
    counts = {"segments": len(ids), "held_out_segments": len(held_out)}
    if table is not None:
        absent = ~np.isin(table["segment_id"].to_numpy(), ids)
        counts["labels_of_segments_without_nodes"] = int(absent.sum())
    return Outcome(("pairs.parquet", "segments.parquet"), rows=len(pairs), counts=counts)


def _hold_out(run: Run, nodes: NodeTable) -> set[int]:
    """By the labels' own split where they have one, else drawn, within each cell type where known."""
    ids = np.unique(nodes.segment_ids)
    table = cell_types(run)
    if table is not None and "split" in table:
        return {int(i) for i in table["segment_id"][table["split"] == "test"].to_numpy()} & {
            int(i) for i in ids
        }
    strata = None
    if table is not None:
        known = {int(k): str(v) for k, v in zip(table["segment_id"], table["cell_type"], strict=True)}
        strata = [known.get(int(i), "") for i in ids]
    return hold_out_segments(ids, share=run.config.pairs.held_out, seed=run.config.seed, strata=strata)


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
