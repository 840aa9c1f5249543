"""Waiting for the parts of a stage that are other processes' own."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from pipelines.progress import console
from pipelines.records import failure, is_done
from pipelines.run import Run
from segclr.errors import StageFailedError, UnfinishedError

__all__ = ["wait_for_others"]

_LOOK_S = 1.0
_SETTLED_S = 10.0
"""Failures that stay noted for so long are final: whoever tries a part again removes its note first."""


def wait_for_others(run: Run, stage: str, parts: Sequence[str], *, inputs: Mapping[str, str]) -> None:
    """Return when every part of a stage is done.

    Raises:
        StageFailedError: the missing parts failed for good.
        UnfinishedError: parts are missing after ``cluster.wait_s``.
    """
    missing = [part for part in parts if not is_done(run.url, stage, part, inputs=inputs)]
    if not missing:
        return
    console().print(f"{stage}: waits for {len(missing)} parts of other processes", markup=False)
    end, settled = time.monotonic() + run.config.cluster.wait_s, time.monotonic() + _SETTLED_S
    while missing:
        failed = {part: note for part in missing if (note := failure(run.url, stage, part))}
        if len(failed) < len(missing):
            settled = time.monotonic() + _SETTLED_S
        if time.monotonic() > min(end, settled):
            raise _not_coming(run, stage, missing, failed)
        time.sleep(_LOOK_S)
        missing = [part for part in missing if not is_done(run.url, stage, part, inputs=inputs)]


def _not_coming(
    run: Run, stage: str, missing: Sequence[str], failed: Mapping[str, Mapping[str, str]]
) -> StageFailedError | UnfinishedError:
    if failed:
        part, note = next(iter(failed.items()))
        return StageFailedError(f"{len(failed)} parts of {stage} failed, such as {part}: {note['message']}")
    return UnfinishedError(
        f"{len(missing)} parts of {stage}, such as {missing[0]}, did not come from other processes within "
        f"cluster.wait_s = {run.config.cluster.wait_s:g} s; when all have run, the same command goes on"
    )
