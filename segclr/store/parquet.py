"""Columns of NumPy arrays to and from Parquet, with checksums on every page.

Page checksums catch every flipped bit of the values; plain Parquet lets most through (FAULTS 15). They do not
cover the footer, where one bit renames a column, makes uint64 ids int64 or loses a row group, so a digest
of names, types and number of rows stands beside them. Equal columns give equal bytes, so that a repeated
block of work writes the same file.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from segclr import files
from segclr.errors import CorruptDataError, DataError

__all__ = ["from_arrow", "read_columns", "read_folder", "to_arrow", "type_text", "write_columns"]

_SHAPE_KEY = b"segclr.shape_sha256"


def type_text(kind: pa.DataType) -> str:
    """A list's text without its child's name, which Parquet changes from item to element."""
    if pa.types.is_fixed_size_list(kind):
        return f"{kind.value_type}[{kind.list_size}]"
    return str(kind)


def _shape_digest(schema: pa.Schema, n_rows: int) -> bytes:
    fields = "\n".join(f"{field.name} {type_text(field.type)}" for field in schema)
    return hashlib.sha256(f"{fields}\n{n_rows}".encode()).hexdigest().encode()


def to_arrow(columns: Mapping[str, NDArray[Any]]) -> pa.Table:
    """1-D arrays as they are, 2-D arrays [n, d] as fixed_size_list[d], text as string."""
    arrays = {}
    for name, values in columns.items():
        if values.ndim == 2:
            flat = pa.array(np.ascontiguousarray(values).reshape(-1))
            arrays[name] = pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
        elif values.dtype.kind in "UO":
            arrays[name] = pa.array(values.tolist(), type=pa.string())
        else:
            arrays[name] = pa.array(values)
    return pa.table(arrays)


def from_arrow(table: pa.Table) -> dict[str, NDArray[Any]]:
    """The inverse of ``to_arrow``: unsigned ids stay unsigned, nothing passes through float."""
    columns = {}
    for name in table.column_names:
        column = table[name].combine_chunks()
        if column.null_count:
            msg = f"column {name} has {column.null_count} missing values; none are allowed"
            raise DataError(msg)
        if pa.types.is_fixed_size_list(column.type):
            flat = column.flatten().to_numpy(zero_copy_only=False)
            columns[name] = flat.reshape(-1, column.type.list_size)
        elif pa.types.is_nested(column.type):
            msg = f"column {name} is {column.type}; allowed are numbers, text and lists of one fixed size"
            raise DataError(msg)
        elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            columns[name] = np.array(column.to_pylist(), dtype=object)
        else:
            columns[name] = column.to_numpy(zero_copy_only=False)
    return columns


def write_columns(url: str, columns: Mapping[str, NDArray[Any]], *, row_group_size: int = 65_536) -> None:
    """Write one Parquet file, whole or not at all."""
    table = to_arrow(columns)
    table = table.replace_schema_metadata({_SHAPE_KEY: _shape_digest(table.schema, table.num_rows)})
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", row_group_size=row_group_size, write_page_checksum=True)
    files.write_bytes(url, sink.getvalue())


def read_columns(url: str, names: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
    """Columns of one Parquet file, every page's checksum verified.

    Raises:
        MissingDataError: there is no such file.
        CorruptDataError: the file is torn, or a page or the footer fails its checksum.
        DataError: a column is absent, has missing values or is of another kind.
    """
    content = files.read_bytes(url)
    try:
        file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
        schema = file.schema_arrow
        absent = set(names or ()) - set(schema.names)
        if absent:
            msg = f"{url} has no column {', '.join(sorted(absent))}; it has {schema.names}"
            raise DataError(msg)
        table = file.read(columns=list(names) if names is not None else None, use_threads=False)
        promised = (file.metadata.metadata or {}).get(_SHAPE_KEY)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        msg = f"{url} is damaged: {error}"
        raise CorruptDataError(msg) from error
    if promised not in (None, _shape_digest(schema, table.num_rows)):
        msg = f"{url} is damaged: its column names, types or number of rows fail their checksum"
        raise CorruptDataError(msg)
    return from_arrow(table)


def read_folder(url: str, names: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
    """Columns of all Parquet files of a folder, in the order of their names; no file gives no column."""
    parts = [read_columns(u, names) for u in files.glob(url, "*.parquet")]
    return {k: np.concatenate([p[k] for p in parts]) for k in (parts[0] if parts else ())}
