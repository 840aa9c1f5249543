"""Signals by which a batch system asks a run to stop: SIGTERM (preempted), SIGUSR1 (walltime is near).

Both do what Ctrl-C does, in the main process: no part is handed out any more, those in progress are given
back (they have no record, so the next run does them), workers stop.
"""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Iterator
from types import FrameType

__all__ = ["STATUS_UNFINISHED", "StopAskedError", "stops_heard"]

STATUS_UNFINISHED = 75
"""Exit status of what was stopped and goes on with the same command (EX_TEMPFAIL of sysexits.h)."""


_AGAIN_S = 20.0
"""A signal so long after the last one that interrupted interrupts again."""


class StopAskedError(KeyboardInterrupt):
    """A signal asks to stop; whoever handles Ctrl-C handles it."""


@contextlib.contextmanager
def stops_heard() -> Iterator[list[signal.Signals]]:
    """Turn the signals into an interrupt of the main thread; answers those that came."""
    heard: list[signal.Signals] = []
    told_s = -math.inf

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal told_s
        heard.append(signal.Signals(number))
        # While it stops, others are in vain; but Python drops what is raised in a finalizer.
        if time.monotonic() - told_s > _AGAIN_S:
            told_s = time.monotonic()
            raise StopAskedError(heard[0].name)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
