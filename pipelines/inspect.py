"""Looking at a run from outside: what is done, what failed, and whether its files keep their promises."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.embed import check_complete
from pipelines.records import broken_files, read_record, stage_counts
from pipelines.run import TRAINED, UNTRAINED, Run, saved_config
from segclr import files
from segclr.errors import SegclrError

__all__ = ["run_faults", "run_status", "saved_run"]


_WHOLE = (
    "place-nodes",
    "snap-nodes",
    "nodes",
    "scatter-nodes",
    "gather-nodes",
    "segments",
    "draw-pairs",
    "pairs",
    "cubes",
    "train",
    "embed",
    "compact",
    "aggregate",
    "evaluate",
    "report",
)
"""Stages of every whole run."""


def saved_run(url: str) -> Run:
    """A run as its folder describes it.

    Raises:
        MissingDataError: the folder is no run.
        CorruptDataError: its ``run.yaml`` is damaged.
    """
    if files.is_local(url):
        url = str(files.local_path(url).expanduser().absolute())
    return Run(url, saved_config(url))


def _parts(run: Run) -> Iterator[tuple[str, str, str]]:
    """(stage, part, "json" or "failed") of every record."""
    for url in files.glob(run.path("records"), "*/*"):
        stage, name = url.rsplit("/", 2)[1:]
        part, _, kind = name.rpartition(".")
        if kind in ("json", "failed"):
            yield stage, part, kind


def run_status(url: str) -> list[str]:
    """One line a stage: parts done, rows, counts, and each failed part with its error."""
    run = saved_run(url)
    stages: dict[str, list[tuple[str, str]]] = {}
    for stage, part, kind in _parts(run):
        stages.setdefault(stage, []).append((part, kind))
    lines = []
    for stage, parts in stages.items():
        n_done = sum(kind == "json" and read_record(run.url, stage, part) is not None for part, kind in parts)
        failed = [p for p, kind in parts if kind == "failed"]
        rows, counts = stage_counts(run.url, stage)
        listed = "".join(f", {n} {name.replace('_', ' ')}" for name, n in counts.items())
        lines.append(f"{stage}: {n_done} parts done, {len(failed)} failed, {rows} rows{listed}")
        for part in failed:
            note = files.read_json(run.path("records", stage, f"{part}.failed"))
            lines.append(f"  {part}: {note['error']}: {note['message']}")
    return lines or [f"{run.url}: nothing done yet"]


def run_faults(url: str) -> list[str]:
    """Every broken promise of a whole run, one line each; none means that all hold."""
    run = saved_run(url)
    stages = {stage for stage, _, _ in _parts(run)}
    faults = [f"{name}: not done" for name in _WHOLE if name not in stages]
    for stage, part, kind in _parts(run):
        record = read_record(run.url, stage, part)
        if kind == "failed":
            faults.append(f"{stage} {part}: failed")
        elif record is None:
            faults.append(f"{stage} {part}: the record is damaged")
        else:
            faults += [
                f"{stage} {part}: {name} is absent or changed" for name in broken_files(run.url, record)
            ]
    for which in (TRAINED, UNTRAINED):
        if files.exists(run.path(which.folder("embeddings"))):
            try:
                check_complete(run, which)
            except SegclrError as error:
                faults.append(str(error))
    return faults
