"""What was found out about every node of a run: a Parquet table, and JSON that says how, beside it.

The table is written first. The JSON holds its checksum and the digest of the embeddings it was made from, so
a table of other embeddings, or of a command that was killed between the two, is never taken for a good one.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.embedding_folders import FolderFacts, folder_facts, read_folder_of
from pipelines.run import Run
from segclr import files
from segclr.errors import ConfigError, CorruptDataError, DataError, MissingDataError, SegclrError
from segclr.store.embeddings import EmbeddingTable
from segclr.store.parquet import read_columns, write_columns

__all__ = ["Subject", "node_result_faults", "read_node_result", "subject_of", "write_node_result"]

_FORMAT = 1
_COMMANDS = {"clusters": "cluster", "predictions": "classify predict", "projections": "project"}
_PACKAGES = ("segclr", "numpy", "scikit-learn")


@dataclass(frozen=True)
class Subject:
    """What a command looks at, and what its result will be called.

    Attributes:
        table: all nodes of a folder of embeddings.
        facts: what made it.
        seed: of the method.
        name: of the result.
    """

    table: EmbeddingTable
    facts: FolderFacts
    seed: int
    name: str


def subject_of(run: Run, folder: str, *, method: str, name: str | None, seed: int | None) -> Subject:
    """The embeddings of a folder, the run's seed where none is given, and a name for the result.

    The name is the one given, or the method's and, where they are not the plain ones, the folder's.

    Raises:
        ConfigError: the run has no such embeddings, or the name cannot be a file's.
        MissingDataError: they are not made yet.
    """
    facts = folder_facts(run, folder)
    behind = "" if folder == "embeddings" else "-" + folder.replace("/", "-")
    name = f"{method}{behind}" if name is None else name
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        msg = f"a name is of letters, digits, ., _ and -, the first a letter or digit; got {name!r}"
        raise ConfigError(msg)
    return Subject(read_folder_of(run, folder), facts, run.config.seed if seed is None else seed, name)


def write_node_result(
    run: Run,
    place: str,
    columns: Mapping[str, NDArray[Any]],
    *,
    subject: Subject,
    told: Mapping[str, Any],
) -> str:
    """Write a table and its JSON; answers the table's URL.

    Args:
        run: to which they belong.
        place: "clusters/<name>", "predictions/<name>" or "projections/<name>".
        columns: values of each node, [n] each.
        subject: whose values they are.
        told: what the JSON says besides: method, settings, further packages' names.
    """
    url, table, facts = run.path(f"{place}.parquet"), subject.table, subject.facts
    keys: dict[str, NDArray[Any]] = {"segment_id": table.segment_ids, "node_id": table.node_ids}
    keys |= {f"{a}_nm": np.ascontiguousarray(table.points_nm[:, i]) for i, a in enumerate("xyz")}
    write_columns(url, {**keys, **columns})
    packages = (*_PACKAGES, *told.get("packages", ()))
    content = {
        **{name: value for name, value in told.items() if name != "packages"},
        "seed": subject.seed,
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
    made_from = str(told.get("embeddings"))
    if folder_facts(run, made_from).digest != told.get("embeddings_digest"):
        msg = f"{url} was made from other embeddings than {made_from} holds now: {again}"
        raise DataError(msg)
    return read_columns(url), told


def node_result_faults(run: Run) -> list[str]:
    """What is wrong with the clusters, predictions and projections of a run, one line each.

    A table without its JSON was left by a command that was killed between the two.
    """
    faults = []
    for kind in _COMMANDS:
        urls = files.glob(run.path(kind), "*")
        names = {u.rsplit("/", 1)[1].rpartition(".")[0] for u in urls if u.endswith((".json", ".parquet"))}
        for name in sorted(names):
            try:
                read_node_result(run, f"{kind}/{name}")
            except SegclrError as error:
                faults.append(f"{kind}/{name}: {error}")
    return faults
