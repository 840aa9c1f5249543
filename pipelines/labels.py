"""The labels of a run: read exactly, and checked before the first stage, for they are needed in the last."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.run import Run
from segclr import files
from segclr.classify import UNKNOWN
from segclr.config import LabelConfig, digest
from segclr.errors import LabelError
from segclr.store.parquet import read_columns, read_folder

__all__ = ["cell_types", "check_labels", "check_split", "labels_digest", "segments_of", "types_digest"]


def check_labels(run: Run) -> None:
    """Refuse labels that no stage could use, as far as can be told before the first one.

    Raises:
        LabelError: the label volume lies elsewhere than the segmentation or holds no integers; or the table
            of cell types names fewer than two types, or only one side of the split.
    """
    if run.config.labels == LabelConfig():
        return
    if run.config.labels.compartments is not None:
        _check_compartments(run)
    table = cell_types(run)
    if table is None:
        return
    types = sorted(set(table["cell_type"]))
    if len(types) < 2:
        msg = f"{run.labels.cell_types} names {len(types)} cell types ({', '.join(types)}); 2 are needed"
        raise LabelError(msg)
    if "split" in table and set(table["split"]) != {"train", "test"}:
        only = ", ".join(sorted(set(table["split"])))
        msg = f"{run.labels.cell_types}: split is {only} in every row; both train and test need some"
        raise LabelError(msg)


def _check_compartments(run: Run) -> None:
    segmentation = run.open_segmentation()
    labels = run.open_compartments()
    theirs, ours = labels.bounds, segmentation.bounds
    if theirs != ours:
        msg = (
            f"labels.compartments covers voxels {theirs.start} to {theirs.stop}, the segmentation "
            f"{ours.start} to {ours.stop} (x, y, z); both must be the same"
        )
        raise LabelError(msg)
    if UNKNOWN in run.labels.compartment_names.values() or "" in run.labels.compartment_names.values():
        msg = f"labels.compartment_names: {UNKNOWN!r} and '' name no class; leave such values out"
        raise LabelError(msg)
    if labels.dtype.kind not in "ui":
        msg = f"labels.compartments must hold integers, got {labels.dtype} in {labels.url}"
        raise LabelError(msg)


def segments_of(table: pd.DataFrame, side: str) -> NDArray[np.uint64]:
    """Segments that a table with a split puts on a side, ``train`` or ``test``, uint64 [n]."""
    return np.asarray(table["segment_id"].to_numpy()[(table["split"] == side).to_numpy()])


def check_split(run: Run, held_out: set[int]) -> None:
    """Refuse a table whose split contradicts the run's own: its test segments were trained on.

    Raises:
        LabelError: the message says how many, and what to do.
    """
    table = cell_types(run)
    if table is None or "split" not in table:
        return
    used = {int(i) for i in read_columns(run.path("segments.parquet"))["segment_id"]}
    leaked = [int(i) for i in segments_of(table, "test") if int(i) in used - held_out]
    hidden = [int(i) for i in segments_of(table, "train") if int(i) in held_out]
    if leaked or hidden:
        msg = (
            f"{run.labels.cell_types} calls {len(leaked)} segments test that the encoder was trained on "
            f"({', '.join(map(str, leaked[:3])) or 'none'}), and {len(hidden)} train that were held out "
            f"({', '.join(map(str, hidden[:3])) or 'none'}): leave its split column out, to use the run's "
            "split, or train in another run folder with this table"
        )
        raise LabelError(msg)


def cell_types(run: Run) -> pd.DataFrame | None:
    """The run's table of cell types, ids as uint64; None where it has none.

    Raises:
        LabelError: the table lacks a column, has an empty cell, names a segment twice, has ids that are not
            whole numbers from 1 to 2**64 - 1, a type that is no name, or a split that is neither train nor
            test.
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
    strange = [repr(t) for t in table["cell_type"].unique() if not isinstance(t, str) or t in ("", UNKNOWN)]
    if strange:
        msg = f"{url}: cell_type {', '.join(strange[:3])} is no type's name; leave unlabelled segments out"
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


def types_digest(run: Run) -> str:
    """Digest of the table of cell types, not only of its name: an edited table is another input."""
    table = cell_types(run)
    return files.sha256(b"" if table is None else table.astype(str).to_csv(index=False).encode())


def labels_digest(run: Run) -> str:
    """Digest of all labels: the table's content, the label volume's name and values.

    As configured: made tissue's own lie in the run's folder, which may be moved or named by another path.
    """
    return digest(run.config.labels, types_digest(run))
