"""Lists of segment ids, exact: no id passes through a float or a signed number on the way."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from segclr import files
from segclr.errors import DataError
from segclr.store.parquet import read_columns

__all__ = ["read_ids"]


def read_ids(url: str) -> NDArray[np.uint64]:
    """Ids of a list, sorted, each once, uint64 [n].

    Args:
        url: ``.txt`` with one id a line (empty lines and lines that begin with # do not count), or ``.csv``
            or ``.parquet`` with a column segment_id.

    Raises:
        MissingDataError: there is no such file.
        DataError: the list is empty or of another kind, or an id is not a whole number from 1 to 2**64 - 1.
    """
    if url.endswith(".parquet"):
        ids = read_columns(url, ["segment_id"])["segment_id"]
        if ids.dtype != np.uint64 or (ids == 0).any():
            msg = f"{url}: segment_id must be uint64 and not 0, got {ids.dtype}"
            raise DataError(msg)
    elif url.endswith((".txt", ".csv")):
        try:
            text = files.read_bytes(url).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            msg = f"{url} is not text: {error}"
            raise DataError(msg) from error
        ids = _parsed(url, _csv_ids(url, text) if url.endswith(".csv") else _lines(text))
    else:
        msg = f"a list of ids is a .txt, .csv or .parquet file, got {url}"
        raise DataError(msg)
    if not len(ids):
        msg = f"{url} lists no segment: give at least one id, or nodes.ids: null for all"
        raise DataError(msg)
    return np.unique(ids)


def _lines(text: str) -> Iterable[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line.strip()


def _csv_ids(url: str, text: str) -> Iterable[tuple[int, str]]:
    reader = csv.DictReader(io.StringIO(text))
    if "segment_id" not in (reader.fieldnames or ()):
        msg = f"{url} lacks the column segment_id; it has {', '.join(reader.fieldnames or ()) or 'none'}"
        raise DataError(msg)
    for row in reader:
        yield reader.line_num, (row["segment_id"] or "").strip()


def _parsed(url: str, texts: Iterable[tuple[int, str]]) -> NDArray[np.uint64]:
    ids = []
    for line, text in texts:
        if not (text.isascii() and text.isdigit() and 0 < int(text) < 2**64):
            msg = f"{url}, line {line}: an id must be a whole number from 1 to 2**64 - 1, got {text!r}"
            raise DataError(msg)
        ids.append(int(text))
    return np.array(ids, dtype=np.uint64)
