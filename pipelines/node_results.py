"""What was found out about every node of a run: a Parquet table, and JSON that says how, beside it.

The table is written first. The JSON holds its checksum and the digest of the embeddings it was made from, so
a table of other embeddings, or of a command that was killed between the two, is never taken for a good one.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.embedding_folders import FolderFacts, folder_facts
from pipelines.run import Run
from segclr import files
from segclr.errors import ConfigError, CorruptDataError, DataError, MissingDataError
from segclr.store.embeddings import EmbeddingTable
from segclr.store.parquet import read_columns, write_columns

__all__ = ["read_node_result", "result_name", "write_node_result"]

_FORMAT = 1
_COMMANDS = {"clusters": "cluster", "projections": "project"}
_PACKAGES = ("segclr", "numpy", "scikit-learn")


def result_name(given: str | None, method: str, facts: FolderFacts) -> str:
    """A name for a result: the one given, or its method and, where they are not the plain ones, embeddings.

    Raises:
        ConfigError: it cannot be a file's name.
    """
    folder = "" if facts.folder == "embeddings" else "-" + facts.folder.replace("/", "-")
    name = f"{method}{folder}" if given is None else given
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        msg = f"a name is of letters, digits, ., _ and -, the first a letter or digit; got {name!r}"
        raise ConfigError(msg)
    return name


def write_node_result(
    run: Run,
    place: str,
    columns: Mapping[str, NDArray[Any]],
    *,
    table: EmbeddingTable,
    facts: FolderFacts,
    told: Mapping[str, Any],
) -> str:
    """Write a table and its JSON; answers the table's URL.

    Args:
        run: to which they belong.
        place: "clusters/<name>" or "projections/<name>".
        columns: values of each node, [n] each.
        table: the nodes.
        facts: of their embeddings.
        told: what the JSON says besides: method, settings, seed, further packages' names.
    """
    url = run.path(f"{place}.parquet")
    keys: dict[str, NDArray[Any]] = {"segment_id": table.segment_ids, "node_id": table.node_ids}
    keys |= {f"{a}_nm": np.ascontiguousarray(table.points_nm[:, i]) for i, a in enumerate("xyz")}
    write_columns(url, {**keys, **columns})
    packages = (*_PACKAGES, *told.get("packages", ()))
    content = {
        **{name: value for name, value in told.items() if name != "packages"},
        "format": _FORMAT,
        "n_nodes": len(table),
        "embeddings": facts.folder,
        "embeddings_digest": facts.digest,
        "encoder_digest": facts.encoder_digest,
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "sha256": files.sha256(files.read_bytes(url)),
    }
    files.write_json(run.path(f"{place}.json"), content)
    return url


def read_node_result(run: Run, place: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The columns of a table and its JSON.

    Raises:
        MissingDataError: there is none; the message names those there are.
        CorruptDataError: the files are damaged, or do not belong together.
        DataError: they were made from embeddings that the run no longer has.
    """
    kind, name = place.split("/", 1)
    again = f"run `segclr {_COMMANDS[kind]}` again"
    if not files.exists(run.path(f"{place}.json")):
        urls = files.glob(run.path(kind), "*.json")
        there = ", ".join(u.rsplit("/", 1)[1].removesuffix(".json") for u in urls) or "none"
        msg = f"{run.url} has no {kind} {name} (there are: {there}); `segclr {_COMMANDS[kind]}` makes them"
        raise MissingDataError(msg)
    told, url = files.read_json(run.path(f"{place}.json")), run.path(f"{place}.parquet")
    if not isinstance(told, dict) or told.get("format") != _FORMAT:
        msg = f"{run.path(place)}.json is not of format {_FORMAT}: {again}"
        raise CorruptDataError(msg)
    if files.sha256(files.read_bytes(url)) != told.get("sha256"):
        msg = f"{url} does not have the checksum that the JSON beside it tells: {again}"
        raise CorruptDataError(msg)
    if folder_facts(run, told["embeddings"]).digest != told["embeddings_digest"]:
        msg = f"{url} was made from other embeddings than {told['embeddings']} holds now: {again}"
        raise DataError(msg)
    return read_columns(url), told
