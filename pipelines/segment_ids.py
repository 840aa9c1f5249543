"""Lists of segment ids that users hand in, exact in uint64."""

from __future__ import annotations

import csv
import io

import numpy as np
from numpy.typing import NDArray

from segclr import files
from segclr.errors import DataError
from segclr.store.parquet import read_columns

__all__ = ["read_segment_ids"]


def read_segment_ids(url: str) -> NDArray[np.uint64]:
    """Segment ids, sorted, each once.

    Args:
        url: ``.txt`` with one id a line (``#`` begins a comment), or ``.csv`` or ``.parquet`` with a column
            ``segment_id`` of whole numbers.

    Raises:
        MissingDataError: there is no such file.
        DataError: there is no id, or one is not a whole number from 1 to 2**64 - 1.
    """
    kind = url.rsplit(".", 1)[-1].lower()
    if kind == "parquet":
        ids = _of_parquet(url)
    elif kind in ("txt", "csv"):
        ids = _of_text(url, kind)
    else:
        msg = f"cannot read segment ids from {url}: allowed are .txt, .csv and .parquet"
        raise DataError(msg)
    if not len(ids):
        msg = f"{url} holds no segment id"
        raise DataError(msg)
    return np.unique(ids)


def _of_parquet(url: str) -> NDArray[np.uint64]:
    ids = read_columns(url, ["segment_id"])["segment_id"]
    if ids.dtype.kind not in "ui" or (ids < 1).any():
        msg = f"segment_id in {url} must be whole numbers above 0, got {ids.dtype}: other types lose digits"
        raise DataError(msg)
    return ids.astype(np.uint64)


def _of_text(url: str, kind: str) -> NDArray[np.uint64]:
    try:
        text = files.read_bytes(url).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        msg = f"{url} is not text: {error}"
        raise DataError(msg) from error
    if kind == "csv":
        rows = csv.DictReader(io.StringIO(text))
        if "segment_id" not in (rows.fieldnames or ()):
            msg = f"{url} has no column segment_id; it has {', '.join(rows.fieldnames or ()) or 'none'}"
            raise DataError(msg)
        values = [(rows.line_num, row["segment_id"] or "") for row in rows]
    else:
        lines = ((n, line.partition("#")[0].strip()) for n, line in enumerate(text.splitlines(), start=1))
        values = [(n, value) for n, value in lines if value]
    return np.array([_id(url, n, value.strip()) for n, value in values], dtype=np.uint64)


def _id(url: str, line: int, text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 2**64):
        msg = f"{url}, line {line}: {text!r} is not a segment id; allowed are whole numbers 1 to 2**64 - 1"
        raise DataError(msg)
    return int(text)
