"""Stages of an array of processes, described by one of them first.

To describe a stage may write what its parts follow: the index of the cubes, an empty store. So process 0
does it first, and the others wait for its word.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipelines.array import Share
from pipelines.run import Run
from segclr import files
from segclr.errors import UnfinishedError

if TYPE_CHECKING:
    from pipelines.blocks import Stage

__all__ = ["planned_stages"]

_LOOK_S = 0.5


def planned_stages(run: Run, command: str, stages: Iterator[Stage], share: Share) -> Iterator[Stage]:
    """The stages of a command; each is described when the one before is done.

    Raises:
        UnfinishedError: process 0 did not describe a stage within ``cluster.wait_s``.
    """
    if share.is_whole:
        yield from stages
        return
    number = 0
    while True:
        url = run.path("records", "described", f"{command}-{number}")
        if share.part > 0:
            _wait_for(url, command, run.config.cluster.wait_s)
        stage = next(stages, None)
        if share.part == 0 and not files.exists(url):
            files.write_bytes(url, b"")
        if stage is None:
            return
        yield stage
        number += 1


def _wait_for(url: str, command: str, wait_s: float) -> None:
    end = time.monotonic() + wait_s
    while not files.exists(url):
        if time.monotonic() > end:
            msg = (
                f"process 0 of the array did not come to {command} within cluster.wait_s = {wait_s:g} s; "
                "when it has run, the same command goes on"
            )
            raise UnfinishedError(msg)
        time.sleep(_LOOK_S)
