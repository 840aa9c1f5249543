"""Merge errors: a score for every edge of every segment, and how well such scores find artificial merges.

Types and the variation within cells are learned from labelled training segments. No segment is scored by
what was learned from itself: training segments are scored by halves, each by what the other half taught.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.classify import encoders_of, tell_absent_types
from pipelines.embedding_folders import folder_facts
from pipelines.labels import cell_types, check_split
from pipelines.pairs import held_out_segments
from pipelines.records import stage_digest
from pipelines.run import TRAINED, EmbeddingSet, Run
from segclr import files
from segclr.classify import split_by_segment
from segclr.classify.merge_evaluation import MergeProtocol, evaluate_merges
from segclr.classify.merges import MergeFinder, MergeScores, fit_merge_finder
from segclr.errors import ConfigError, LabelError, SegclrError
from segclr.store.embeddings import EmbeddingTable, open_embeddings
from segclr.store.parquet import read_columns, write_columns

__all__ = ["judge_merges", "merge_faults", "score_merges"]

_FORMAT = 1
_TOLD = "scores.json"


def score_merges(run: Run, *, radius_um: float) -> str:
    """Score every edge of every segment, shard by shard; answers the folder of the tables.

    ``scores.json``, written last, says what they were made from.

    Raises:
        ConfigError: the run has no cell types, or the radius is not an allowed one.
        MissingDataError: the run has no embeddings yet.
        LabelError: types cannot be learned from the labelled training segments.
    """
    types = _types(run)
    tell_absent_types(run)
    train, classes = _labelled(run, TRAINED, types, held_out=False)
    if not len(train):
        msg = f"no training segment of {run.url} has a cell type in {run.labels.cell_types}; label some"
        raise LabelError(msg)
    halves = split_by_segment(train.segment_ids, classes, test_share=0.5, seed=run.config.seed)
    sides = (halves.train, halves.test)
    finders = [_fit(run, train.take(rows), classes[rows], radius_um) for rows in sides]
    whole = _fit(run, train, classes, radius_um)
    folder = run.path("predictions", f"merges-path-{radius_um:g}um")
    files.remove(folder)  # an earlier run's tables may have been more
    facts, written = folder_facts(run, TRAINED.folder("embeddings")), {}
    for url in open_embeddings(run.path("embeddings")).shards:
        table = EmbeddingTable.from_columns(read_columns(url))
        taught = [np.isin(table.segment_ids, f.cells) for f in finders]
        parts = [(finders[1], taught[0]), (finders[0], taught[1]), (whole, ~(taught[0] | taught[1]))]
        name = url.rsplit("/", 1)[1]
        write_columns(files.join(folder, name), _columns(table, parts))
        written[name] = files.sha256(files.read_bytes(files.join(folder, name)))
    made_from = {"embeddings_digest": facts.digest, "encoder_digest": facts.encoder_digest}
    told = {
        "format": _FORMAT,
        "radius_um": radius_um,
        "seed": run.config.seed,
        **made_from,
        "sha256": written,
    }
    files.write_json(files.join(folder, _TOLD), told)
    return folder


def merge_faults(run: Run) -> list[str]:
    """What is wrong with the scores of merge errors that a run has, one line each."""
    faults = []
    for folder in sorted(
        {url.rsplit("/", 1)[0] for url in files.glob(run.path("predictions"), "merges-*/*")}
    ):
        try:
            wrong = _fault(run, folder)
        except SegclrError as error:
            wrong = str(error)
        if wrong:
            name = folder.rsplit("/", 1)[1]
            faults.append(f"predictions/{name}: {wrong}: run `segclr classify merges` again")
    return faults


def _fault(run: Run, folder: str) -> str | None:
    told = files.read_json(files.join(folder, _TOLD))
    if not isinstance(told, dict) or told.get("format") != _FORMAT:
        return f"{_TOLD} is not of format {_FORMAT}"
    if not isinstance(told.get("sha256"), dict):
        return f"{_TOLD} has no checksums"
    if told.get("embeddings_digest") != folder_facts(run, TRAINED.folder("embeddings")).digest:
        return "made from other embeddings than the run has now"
    for name, digest in told["sha256"].items():
        if files.sha256(files.read_bytes(files.join(folder, name))) != digest:
            return f"{name} does not have its checksum"
    return None


def judge_merges(run: Run, *, radius_um: float, protocol: MergeProtocol) -> str:
    """Judge every encoder on artificial merges between labelled held-out segments; answers the JSON's URL.

    Raises:
        ConfigError: the run has no cell types, or the radius is not an allowed one.
        MissingDataError: the run has no embeddings yet.
        LabelError: types cannot be learned, or fewer than two held-out segments are large enough.
        DataError: no two held-out segments come near each other.
    """
    types, rows = _types(run), []
    for which in encoders_of(run):
        train, train_classes = _labelled(run, which, types, held_out=False)
        test, test_classes = _labelled(run, which, types, held_out=True)
        finder = _fit(run, train, train_classes, radius_um)
        judged = evaluate_merges(finder, test, test_classes, protocol)
        rows += [{"encoder": which.name, "radius_um": radius_um, **result.to_dict()} for result in judged]
    url = run.path("evaluation", f"merges-path-{radius_um:g}um.json")
    files.write_json(url, rows)
    return url


def _types(run: Run) -> dict[int, str]:
    """Type of each labelled segment; refuses a run that has none, or whose split contradicts its labels."""
    table = cell_types(run)
    if table is None:
        msg = "the run has no labels.cell_types: give a table of some segments' types"
        raise ConfigError(msg)
    stage_digest(run.url, "compact")
    check_split(run, held_out_segments(run))
    return dict(zip(table["segment_id"].tolist(), table["cell_type"].tolist(), strict=True))


def _labelled(
    run: Run, which: EmbeddingSet, types: dict[int, str], *, held_out: bool
) -> tuple[EmbeddingTable, NDArray[np.str_]]:
    """Whole labelled segments of one side, with the type of each row."""
    wanted = np.array(sorted(types), dtype=np.uint64)
    aside = np.isin(wanted, np.array(sorted(held_out_segments(run)), dtype=np.uint64))
    wanted = wanted[aside if held_out else ~aside]
    parts = []
    for url in open_embeddings(run.path(which.folder("embeddings"))).shards:
        columns = read_columns(url)
        mine = np.isin(columns["segment_id"], wanted)
        parts.append({k: v[mine] for k, v in columns.items()})
    table = EmbeddingTable.from_columns({k: np.concatenate([p[k] for p in parts]) for k in parts[0]})
    return table, np.array([types[i] for i in table.segment_ids.tolist()], dtype=str)


def _fit(run: Run, table: EmbeddingTable, classes: NDArray[np.str_], radius_um: float) -> MergeFinder:
    return fit_merge_finder(table, classes, radius_um=radius_um, penalty=run.config.evaluate.probe_c)


def _columns(
    table: EmbeddingTable, parts: list[tuple[MergeFinder, NDArray[np.bool_]]]
) -> dict[str, NDArray[Any]]:
    """One row an edge, sorted by (segment_id, node_id); the place is the middle of the edge."""
    found = [_edges(table.take(rows), finder.score) for finder, rows in parts]
    columns = {k: np.concatenate([f[k] for f in found]) for k in found[0]}
    order = np.lexsort((columns["node_id"], columns["segment_id"]))
    return {k: np.ascontiguousarray(v[order]) for k, v in columns.items()}


def _edges(table: EmbeddingTable, score: Callable[[EmbeddingTable], MergeScores]) -> dict[str, NDArray[Any]]:
    scores = score(table)
    middle = (table.points_nm[scores.rows] + table.points_nm[scores.parent_rows]) / np.float32(2)
    return {
        "segment_id": table.segment_ids[scores.rows],
        "node_id": table.node_ids[scores.rows],
        "parent": table.node_ids[scores.parent_rows].astype(np.int32),
        "x_nm": middle[:, 0],
        "y_nm": middle[:, 1],
        "z_nm": middle[:, 2],
        "type_change": scores.type_change.astype(np.float32),
        "embedding_change": scores.embedding_change.astype(np.float32),
        "n_nodes": scores.n_nodes.astype(np.int32),
        "score": scores.score.astype(np.float32),
    }
