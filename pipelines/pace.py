"""How quickly a run goes, seen from any shell: from when its records were written.

Only shown, never decided by: the times of files come from clocks that may be wrong or jump.
"""

from __future__ import annotations

from pipelines.records import read_record
from segclr import files

__all__ = ["pace"]

_LATELY = 50
"""Records that the rate is taken over."""
_LEAST = 5
"""Fewer tell nothing: those of workers that began together are written together."""


def pace(run_url: str, stage: str) -> dict[str, float | None]:
    """``parts_per_s`` and ``rows_per_s`` over the last records of a stage; None where nothing tells."""
    unknown: dict[str, float | None] = {"parts_per_s": None, "rows_per_s": None}
    folder = files.join(run_url, "records", stage)
    if not files.is_local(folder):
        return unknown
    written = sorted((p.stat().st_mtime, p.stem) for p in files.local_path(folder).glob("*.json"))[-_LATELY:]
    seconds = written[-1][0] - written[0][0] if written else 0.0
    if seconds <= 0 or len(written) < _LEAST:
        return unknown
    records = [read_record(run_url, stage, part) for _, part in written[1:]]
    rows = sum(record.rows for record in records if record is not None)
    return {"parts_per_s": len(records) / seconds, "rows_per_s": rows / seconds}
