"""Tables that are shuffled: one Parquet file of rows in buckets, each bucket read by itself.

A stage whose parts are cut one way writes rows for parts that are cut another way: every part writes one
file, and every later part reads its own bucket of all of them, and not more.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from segclr import files
from segclr.errors import CorruptDataError, MissingDataError
from segclr.store.parquet import from_arrow, to_arrow, type_text

__all__ = ["bucket_rows", "read_bucket", "write_buckets"]

_KEY = b"segclr.buckets"

_UNREACHED = (ConnectionError, TimeoutError)


def write_buckets(url: str, columns: Mapping[str, NDArray[Any]], buckets: NDArray[np.integer]) -> None:
    """Write rows by bucket, in their order within it: a row group each, whole file or none.

    Args:
        url: of the file.
        columns: of n rows.
        buckets: integer [n], the bucket of each row.
    """
    order = np.argsort(buckets, kind="stable")
    table = to_arrow({k: v[order] for k, v in columns.items()})
    numbers, counts = np.unique(buckets, return_counts=True)
    facts = {
        "buckets": [[int(b), int(n)] for b, n in zip(numbers, counts, strict=True)],
        "columns": [f"{f.name} {type_text(f.type)}" for f in table.schema],
    }
    table = table.replace_schema_metadata({_KEY: json.dumps(facts).encode()})
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, table.schema, compression="zstd", write_page_checksum=True) as writer:
        start = 0
        for n in counts.tolist():
            writer.write_table(table.slice(start, n), row_group_size=n)
            start += n
    files.write_bytes(url, sink.getvalue())


def bucket_rows(url: str) -> dict[int, int]:
    """Rows in each bucket of a file that has any.

    Raises:
        MissingDataError: there is no such file.
        CorruptDataError: it is damaged.
    """
    return _with_file(url, lambda _, facts: dict(facts["buckets"]))


def read_bucket(url: str, bucket: int) -> dict[str, NDArray[Any]]:
    """Columns of one bucket, of no rows where the file has none for it; checksums of its pages verified.

    Raises:
        MissingDataError: there is no such file.
        CorruptDataError: it is damaged.
    """

    def read(file: pq.ParquetFile, facts: dict[str, Any]) -> dict[str, NDArray[Any]]:
        numbers = [b for b, _ in facts["buckets"]]
        if bucket not in numbers:
            return from_arrow(file.schema_arrow.empty_table())
        row_group = numbers.index(bucket)
        table = file.read_row_group(row_group, use_threads=False)
        promised = facts["buckets"][row_group][1]
        if table.num_rows != promised:
            msg = f"{url} is damaged: bucket {bucket} has {table.num_rows} rows, not {promised}"
            raise CorruptDataError(msg)
        return from_arrow(table)

    return _with_file(url, read)


def _with_file(url: str, use: Any) -> Any:
    try:
        with fsspec.open(url, "rb") as handle:
            file = pq.ParquetFile(handle, page_checksum_verification=True, pre_buffer=False)
            schema = file.schema_arrow
            facts = json.loads(file.metadata.metadata[_KEY])
            if facts["columns"] != [f"{f.name} {type_text(f.type)}" for f in schema]:
                msg = f"{url} is damaged: its columns are {schema.names}, not {facts['columns']}"
                raise CorruptDataError(msg)
            return use(file, facts)
    except FileNotFoundError as error:
        msg = f"no such file: {url}"
        raise MissingDataError(msg) from error
    except CorruptDataError:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, OSError) and (error.errno is not None or isinstance(error, _UNREACHED)):
            raise  # of the file system or the network: what is there may be whole
        msg = f"{url} is damaged: {error}"
        raise CorruptDataError(msg) from error
