"""A search index in files: ``nodes.parquet``, and ``index.json`` with what else there is and its checksum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from segclr import files
from segclr._version import __version__
from segclr.errors import CorruptDataError
from segclr.store.embeddings import EmbeddingTable
from segclr.store.parquet import read_columns, write_columns

__all__ = ["read_index", "write_index"]

_KIND, _FORMAT = "SearchIndex", 1


def write_index(url: str, table: EmbeddingTable, facts: Mapping[str, Any]) -> None:
    """Write both files into a folder, the table first."""
    nodes = files.join(url, "nodes.parquet")
    columns: dict[str, NDArray[Any]] = {"segment_id": table.segment_ids, "node_id": table.node_ids}
    write_columns(nodes, columns | {"point_nm": table.points_nm, "embedding": table.embeddings})
    told = {"kind": _KIND, "format": _FORMAT, "version": __version__, "facts": dict(facts)}
    files.write_json(files.join(url, "index.json"), told | {"sha256": files.sha256(files.read_bytes(nodes))})


def read_index(url: str) -> tuple[EmbeddingTable, dict[str, Any]]:
    """The table and the facts that :func:`write_index` wrote.

    Raises:
        MissingDataError: there is none.
        CorruptDataError: the files are damaged or of another kind.
    """
    told = files.read_json(files.join(url, "index.json"))
    named = isinstance(told, dict) and isinstance(told.get("facts"), dict)
    if not named or (told.get("kind"), told.get("format")) != (_KIND, _FORMAT):
        msg = f"{url} is no search index of format {_FORMAT}"
        raise CorruptDataError(msg)
    nodes = files.join(url, "nodes.parquet")
    if files.sha256(files.read_bytes(nodes)) != told.get("sha256"):
        msg = f"{nodes} does not have the checksum that index.json tells"
        raise CorruptDataError(msg)
    columns = read_columns(nodes)
    table = EmbeddingTable(
        segment_ids=columns["segment_id"],
        node_ids=columns["node_id"],
        points_nm=columns["point_nm"],
        parents=None,
        embeddings=columns["embedding"],
    )
    return table, told["facts"]
