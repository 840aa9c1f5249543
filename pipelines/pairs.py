"""Stage ``pairs``: which segments are held out, and positive pairs on all of them."""

from __future__ import annotations

import functools

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

__all__ = ["cell_types", "held_out_segments", "pairs_stage"]


def pairs_stage(run: Run) -> Stage:
    """One part: pairs of the whole run are few."""
    inputs = {
        "nodes": stage_digest(run.url, "nodes"),
        "pairs": digest(run.config.pairs),
        "seed": str(run.config.seed),
    }
    return Stage("pairs", ("all",), functools.partial(_sample, run), inputs, alone=True)


def _sample(run: Run, _part: str) -> Outcome:
    nodes = read_nodes(run)
    held_out = _hold_out(run, nodes)
    pairs = sample_pairs(nodes, run.config.pairs, held_out=held_out, seed=run.config.seed)
    ids = np.unique(nodes.segment_ids)
    side = np.array(["held_out" if int(i) in held_out else "train" for i in ids], dtype=object)
    write_columns(run.path("segments.parquet"), {"segment_id": ids, "split": side})
    write_columns(run.path("pairs.parquet"), pairs.columns())
    counts = {"segments": len(ids), "held_out_segments": len(held_out)}
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
        LabelError: the table lacks a column, names a segment twice, or has ids that are not uint64.
    """
    url = run.labels.cell_types
    if url is None:
        return None
    if url.endswith(".csv"):
        import io

        content = io.BytesIO(files.read_bytes(url))
        try:
            table = pd.read_csv(content, dtype={"segment_id": "uint64"})
        except ValueError as error:
            msg = f"{url}: segment_id must be whole numbers from 1 to 2**64 - 1 in every row: {error}"
            raise LabelError(msg) from error
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
    return table
