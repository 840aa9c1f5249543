"""Looking at a run from outside: what is done, what failed, and whether its files keep their promises."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipelines.embed import check_complete
from pipelines.lost import ORDER, lost_parts
from pipelines.pace import pace
from pipelines.records import broken_files, failure, read_record, read_total, stage_counts
from pipelines.run import TRAINED, UNTRAINED, Run, saved_config
from segclr import files
from segclr.errors import SegclrError

__all__ = ["run_faults", "run_status", "saved_run", "status_lines"]


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
"""Stages of every whole run that trains its encoder on stored cubes."""


def _whole(run: Run) -> list[str]:
    """The stages without which a run is not whole."""
    if run.config.benchmark is not None:
        return ["judge", "report"]
    unneeded: set[str] = set()
    if not run.config.trains:
        unneeded = {"draw-pairs", "pairs", "cubes"}
    elif run.config.data.source == "volume":
        unneeded = {"cubes"}
    return [name for name in _WHOLE if name not in unneeded]


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


def run_status(url: str) -> list[dict[str, Any]]:
    """What each stage has done, in the order of the story, as plain values.

    Keys: ``stage``; ``total`` parts, where the stage was begun; ``done``, ``failed``, ``missing``; ``rows``;
    ``counts`` by name; ``parts_per_s`` and ``rows_per_s`` of late, None where nothing tells; ``lost`` and
    ``errors``: parts that were set aside or failed, with ``part``, ``error``, ``message``, ``n_nodes``.
    """
    run = saved_run(url)
    begun = (url.rsplit("/", 2)[1] for url in files.glob(run.path("records"), "*/total"))
    stages: dict[str, list[tuple[str, str]]] = {stage: [] for stage in begun}
    for stage, part, kind in _parts(run):
        stages.setdefault(stage, []).append((part, kind))
    order = {stage: number for number, stage in enumerate(ORDER)}
    return [
        _stage_status(run, stage, stages[stage])
        for stage in sorted(stages, key=lambda name: (order.get(name, len(order)), name))
    ]


def _stage_status(run: Run, stage: str, parts: list[tuple[str, str]]) -> dict[str, Any]:
    recorded = {p for p, kind in parts if kind == "json" and read_record(run.url, stage, p) is not None}
    lost = [vars(part) for part in lost_parts(run.url, stage)]
    errors = [
        {"stage": stage, "part": p, **note, "n_nodes": 0}
        for p, kind in parts
        if kind == "failed" and (note := failure(run.url, stage, p)) is not None
    ]
    rows, counts = stage_counts(run.url, stage)
    plan = read_total(run.url, stage)
    n_done = len(recorded) - len(lost)
    total = plan or len({p for p, _ in parts})
    return {
        "stage": stage,
        "total": total,
        "done": n_done,
        "failed": len(errors) + len(lost),
        "missing": max(0, total - n_done - len(errors) - len(lost)),
        "rows": rows,
        "counts": counts,
        **pace(run.url, stage),
        "lost": lost,
        "errors": errors,
    }


def status_lines(told: list[dict[str, Any]]) -> list[str]:
    """One line a stage, and one below it for each part that failed."""
    lines = []
    for stage in told:
        listed = "".join(f", {n} {name.replace('_', ' ')}" for name, n in stage["counts"].items())
        missing = f", {stage['missing']} missing" if stage["missing"] else ""
        going = stage["missing"] and stage["parts_per_s"]
        rate = f", {stage['parts_per_s']:.3g} parts/s of late" if going else ""
        lines.append(
            f"{stage['stage']}: {stage['done']} parts done, {stage['failed']} failed{missing}, "
            f"{stage['rows']} rows{listed}{rate}"
        )
        for part in (*stage["errors"], *stage["lost"]):
            nodes = f" ({part['n_nodes']} nodes)" if part["n_nodes"] else ""
            lines.append(f"  {part['part']}: {part['error']}: {part['message']}{nodes}")
    return lines or ["nothing done yet"]


def run_faults(url: str) -> tuple[list[str], list[str]]:
    """Every broken promise of a whole run, and every part that it went on without, one line each.

    Also of what was made after it: classifiers, predictions, scores of merges, clusters, projections.
    """
    from pipelines.classifiers import classifier_faults  # scikit-learn, which ``status`` does without
    from pipelines.merges import merge_faults
    from pipelines.node_results import node_result_faults

    run = saved_run(url)
    stages = {stage for stage, _, _ in _parts(run)}
    faults = [f"{name}: not done" for name in _whole(run) if name not in stages]
    for stage, part, kind in _parts(run):
        record = read_record(run.url, stage, part)
        if kind == "failed":
            note = failure(run.url, stage, part)
            faults.append(f"{stage} {part}: failed: {note['message'] if note else 'tried again just now'}")
        elif record is None:
            faults.append(f"{stage} {part}: the record is damaged")
        else:
            faults += [
                f"{stage} {part}: {name} is absent or changed" for name in broken_files(run.url, record)
            ]
    for stage in stages:
        planned, found = read_total(run.url, stage), sum(s == stage for s, _, _ in _parts(run))
        if planned is None:
            faults.append(f"{stage}: records/{stage}/total is damaged, so parts may be missing")
        elif found < planned:
            faults.append(f"{stage}: {planned - found} of {planned} parts are missing")
    for which in (TRAINED, UNTRAINED):
        if files.exists(run.path(which.folder("embeddings"))):
            try:
                check_complete(run, which)
            except SegclrError as error:
                faults.append(str(error))
    faults += [*classifier_faults(run), *node_result_faults(run), *merge_faults(run)]
    return faults, [f"{part.stage} {part}" for part in lost_parts(run.url)]
