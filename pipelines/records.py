"""Commit records: how a run knows which parts of a stage are done, whatever happened to the machine.

A part's files come first, each whole or absent; then its record, which names them with size and checksum.
Done means: the record is whole by its own checksum, it was made from the same inputs, and every file is there
with that size and checksum. A record holds nothing that differs between two runs of the same work: no time,
no host.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from segclr import files
from segclr.errors import CorruptDataError, MissingDataError, RunMismatchError

__all__ = [
    "Outcome",
    "Record",
    "broken_files",
    "commit",
    "fail",
    "failure",
    "forget_failure",
    "is_done",
    "made_by",
    "note_total",
    "read_record",
    "read_total",
    "record_url",
    "stage_counts",
    "stage_digest",
]


@dataclass(frozen=True)
class Outcome:
    """What the work on one part answers.

    Attributes:
        files: the files it wrote, as names below the run's folder.
        rows: rows of data in them.
        counts: what a policy moved, dropped or left out, by name.
    """

    files: tuple[str, ...] = ()
    rows: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """The content of a commit record.

    Attributes:
        inputs: digests of what the part was made from.
        files: size and checksum of each.
        rows: rows of data in them.
        counts: what a policy moved, dropped or left out, by name.
        failed: the error of a part that was set aside; its files only stand in for it.
    """

    inputs: dict[str, str]
    files: dict[str, dict[str, Any]]
    rows: int
    counts: dict[str, int]
    failed: dict[str, str] | None = None


def record_url(run_url: str, stage: str, part: str) -> str:
    """Where a part's record stands."""
    return files.join(run_url, "records", stage, f"{part}.json")


def _failure_url(run_url: str, stage: str, part: str) -> str:
    return files.join(run_url, "records", stage, f"{part}.failed")


def commit(
    run_url: str,
    stage: str,
    part: str,
    outcome: Outcome,
    *,
    inputs: Mapping[str, str],
    failed: BaseException | None = None,
) -> Record:
    """Write a part's record, after its files; an earlier failure's note is removed.

    Args:
        run_url: the run's folder.
        stage: of the part.
        part: its name.
        outcome: what was written, or what stands in for it.
        inputs: digests of what it was made from.
        failed: why the part was set aside; absent: it was done.
    """
    before = read_record(run_url, stage, part)
    listed = {}
    for name in sorted(outcome.files):
        content = files.read_bytes(files.join(run_url, name))
        listed[name] = {"size": len(content), "sha256": files.sha256(content)}
        files.remove_leftovers(files.join(run_url, name))
    note = None if failed is None else _note(failed)
    record = Record(dict(inputs), listed, outcome.rows, dict(outcome.counts), note)
    tree = {name: value for name, value in vars(record).items() if value is not None}
    files.write_json(record_url(run_url, stage, part), {**tree, "checksum": _checksum(tree)})
    files.remove_leftovers(record_url(run_url, stage, part))
    forget_failure(run_url, stage, part)
    for name in () if before is None else before.files.keys() - listed.keys():
        files.remove(files.join(run_url, name))
    return record


def _checksum(tree: Mapping[str, Any]) -> str:
    """Of a record's content."""
    return files.sha256(json.dumps(tree, sort_keys=True).encode())


def fail(run_url: str, stage: str, part: str, error: BaseException) -> None:
    """Note that a part failed for good and that nothing stands in for it."""
    files.write_json(_failure_url(run_url, stage, part), _note(error))


def _note(error: BaseException) -> dict[str, str]:
    return {"error": type(error).__name__, "message": str(error)}


def failure(run_url: str, stage: str, part: str) -> dict[str, str] | None:
    """The note of a part that failed for good; None where there is none."""
    try:
        note = files.read_json(_failure_url(run_url, stage, part))
    except MissingDataError:
        return None
    except CorruptDataError as error:
        note = _note(error)
    return {"error": str(note["error"]), "message": str(note["message"])}


def forget_failure(run_url: str, stage: str, part: str) -> None:
    """Remove the note: the part is tried again."""
    files.remove(_failure_url(run_url, stage, part))


def note_total(run_url: str, stage: str, total: int) -> None:
    """Note how many parts a stage has: for whoever looks at the run from outside."""
    if read_total(run_url, stage) != total:
        files.write_json(files.join(run_url, "records", stage, "total"), total)


def read_total(run_url: str, stage: str) -> int | None:
    """How many parts a stage had when it was last begun; None where nothing tells."""
    try:
        total = files.read_json(files.join(run_url, "records", stage, "total"))
    except (MissingDataError, CorruptDataError):
        return None
    return total if isinstance(total, int) else None


def read_record(run_url: str, stage: str, part: str) -> Record | None:
    """A part's record; None where there is none or it is damaged, which means the part is not done."""
    try:
        tree = files.read_json(record_url(run_url, stage, part))
        checksum = tree.pop("checksum")
        return Record(**tree) if checksum == _checksum(tree) else None
    except (MissingDataError, CorruptDataError, AttributeError, KeyError, TypeError):
        return None


def made_by(run_url: str, stage: str, urls: Iterable[str]) -> list[str]:
    """Those of some files that are named after a part of a stage which has a record.

    What an attempt with other parts left beside them is none of the stage's.
    """
    records = files.glob(files.join(run_url, "records", stage), "*.json")
    parts = {url.rsplit("/", 1)[1].removesuffix(".json") for url in records}
    return [url for url in urls if url.rsplit("/", 1)[1].rsplit(".", 1)[0] in parts]


def is_done(run_url: str, stage: str, part: str, *, inputs: Mapping[str, str]) -> bool:
    """Whether a part need not be done again: it was done, or set aside with what stands in for it.

    Raises:
        RunMismatchError: the part was made from other inputs; the message names which.
    """
    record = read_record(run_url, stage, part)
    if record is None:
        return False
    if record.inputs != dict(inputs):
        differing = sorted(k for k in record.inputs | dict(inputs) if record.inputs.get(k) != inputs.get(k))
        msg = (
            f"{stage} in {run_url} was made from another {', '.join(differing)}; take another run folder, or "
            f"delete its records/{stage} to make it again"
        )
        raise RunMismatchError(msg)
    return not broken_files(run_url, record)


def broken_files(run_url: str, record: Record) -> list[str]:
    """Files of a record that are absent, or whose size or checksum differs."""
    return [name for name, facts in record.files.items() if not _matches(files.join(run_url, name), facts)]


def _matches(url: str, facts: Mapping[str, Any]) -> bool:
    try:
        content = files.read_bytes(url)
    except MissingDataError:
        return False
    return len(content) == facts["size"] and files.sha256(content) == facts["sha256"]


def stage_counts(run_url: str, stage: str) -> tuple[int, dict[str, int]]:
    """Rows of all done parts of a stage, and the sums of their counts by name."""
    rows, counts = 0, dict[str, int]()
    for url in files.glob(files.join(run_url, "records", stage), "*.json"):
        record = read_record(run_url, stage, url.rsplit("/", 1)[1].removesuffix(".json"))
        if record is not None:
            rows += record.rows
            for name, n in record.counts.items():
                counts[name] = counts.get(name, 0) + n
    return rows, counts


_COMMANDS = {
    "fragments": "skeletonize",
    "sizes": "skeletonize",
    "census": "skeletonize",
    "place-nodes": "nodes",
    "snap-nodes": "nodes",
    "scatter-nodes": "nodes",
    "gather-nodes": "nodes",
    "segments": "pairs",
    "draw-pairs": "pairs",
    "batch-size": "embed",
    "compact": "embed",
}
"""The command that does a stage, where it is called otherwise."""


def stage_digest(run_url: str, stage: str) -> str:
    """Digest of everything a stage wrote, from its records: an input of the stages that read it.

    Raises:
        MissingDataError: the stage has no records.
        CorruptDataError: a record is damaged; its part is made again by the stage's own command.
    """
    urls = files.glob(files.join(run_url, "records", stage), "*.json")
    if not urls:
        command = _COMMANDS.get(stage, stage)
        msg = f"{run_url} has no {stage} yet: run `segclr {command}` first, or `segclr run` for all"
        raise MissingDataError(msg)
    facts = []
    for url in urls:
        record = read_record(run_url, stage, url.rsplit("/", 1)[1].removesuffix(".json"))
        if record is None:
            command = _COMMANDS.get(stage, stage)
            msg = f"{url} is damaged: run `segclr {command}`, or `segclr run`, to make it again"
            raise CorruptDataError(msg)
        facts.append({name: f["sha256"] for name, f in record.files.items()})
    return files.sha256(repr(facts).encode())
