"""``segclr status`` and ``segclr validate``: a run from outside."""

from __future__ import annotations

import json
from typing import Annotated

import typer

__all__ = ["status", "validate"]

RunFolder = Annotated[str, typer.Argument(metavar="RUN", help="Folder of a run (path or URL).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")]


def status(run: RunFolder, *, as_json: AsJson = False) -> None:
    """Count what a run has done, what is missing, what failed and why, and the rate of late.

    Example: segclr status runs/demo
    """
    from pipelines.inspect import run_status, status_lines

    told = run_status(run)
    if as_json:
        typer.echo(json.dumps(told, indent=1))
        return
    for line in status_lines(told):
        typer.echo(line)


def validate(run: RunFolder, *, as_json: AsJson = False) -> None:
    """Check a run's files against its records.

    Sizes and checksums of all files; every node is embedded exactly once or listed as lost; classifiers,
    predictions, scores of merges, clusters and projections are whole, and of the embeddings there are.

    Example: segclr validate runs/demo
    """
    from pipelines.inspect import run_faults
    from segclr.errors import DataError

    faults, lost = run_faults(run)
    if as_json:
        typer.echo(json.dumps({"faults": faults, "lost": lost}, indent=1))
    else:
        for line in (*faults, *lost):
            typer.echo(line)
    if faults:
        msg = f"{len(faults)} faults in {run}"
        raise DataError(msg)
    if lost:
        msg = f"all promises hold, but {len(lost)} parts were set aside in {run}"
        raise DataError(msg)
    if not as_json:
        typer.echo("all promises hold")
