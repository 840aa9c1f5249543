"""Section of the report on the work itself: what was done of each stage, what was left out, what failed."""

from __future__ import annotations

from typing import Any

from pipelines.inspect import run_status
from pipelines.run import Run
from segclr.view import Section, Table

__all__ = ["work_section"]

_MOST_FAILURES = 50


def work_section(run: Run, *, without: tuple[str, ...] = ()) -> Section:
    """One row a stage, and one for each part that was set aside.

    Args:
        run: any run, at any point.
        without: stages that are not told of.
    """
    told = [stage for stage in run_status(run.url) if stage["stage"] not in without]
    failures = [failure for stage in told for failure in (*stage["errors"], *stage["lost"])]
    text = []
    if any(stage["missing"] for stage in told):
        text.append("The run is not at its end: the same command goes on where it was.")
    if len(failures) > _MOST_FAILURES:
        text.append(
            f"The first {_MOST_FAILURES} of {len(failures):,} parts that failed; segclr status lists all."
        )
    return Section(
        title="Work, and what was left out",
        paragraphs=text or ["Every part of every stage below is done."] if not failures else text,
        tables=[_stages(told), *([_failures(failures[:_MOST_FAILURES])] if failures else [])],
    )


def _stages(told: list[dict[str, Any]]) -> Table:
    return Table(
        caption="Stages in their order, with what was found, moved, dropped or left out by a rule.",
        header=("stage", "parts", "done", "failed", "missing", "rows", "counts"),
        rows=[
            (
                stage["stage"],
                *(stage[name] for name in ("total", "done", "failed", "missing", "rows")),
                ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in stage["counts"].items() if n),
            )
            for stage in told
        ],
    )


def _failures(failures: list[dict[str, Any]]) -> Table:
    return Table(
        caption="Parts that failed for good, and the nodes that are lost with them.",
        header=("stage", "part", "error", "message", "nodes lost"),
        rows=[(f["stage"], f["part"], f["error"], f["message"], f["n_nodes"]) for f in failures],
    )
