"""Progress of a stage: a live bar on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

__all__ = ["Progress", "console"]

_SECONDS_BETWEEN_LINES = 10.0
_RETRIES_TOLD = 3


def console() -> Console:
    """Where progress goes: standard error, so that standard output holds results only.

    In a notebook plain lines below the cell: there, standard error looks like an error.
    """
    found = Console(file=sys.stderr, highlight=False, soft_wrap=True)
    if not found.is_jupyter:
        return found
    return Console(
        file=sys.stdout, highlight=False, soft_wrap=True, force_jupyter=False, force_terminal=False
    )


class Progress:
    """Counts parts (or steps) of a stage with rate and time left.

    Args:
        name: of the stage.
        total: parts in all.
        found: parts that were done before.
        unit: what is counted.
    """

    def __init__(self, name: str, *, total: int, found: int = 0, unit: str = "parts") -> None:
        """Prepare; nothing is shown before ``with``."""
        self._name, self._total, self._unit = name, total, unit
        self._done = self._found = found
        self._rows = self._failed = self._retried = 0
        self._console = console()
        self._bar: Bar | None = None
        self._begin = self._last = 0.0

    def __enter__(self) -> Self:
        """Show the bar, or the first line."""
        self._begin = self._last = time.monotonic()
        if self._console.is_terminal:
            columns = (TextColumn("{task.description:<14}"), BarColumn(), MofNCompleteColumn())
            self._bar = Bar(
                *columns, TimeRemainingColumn(), TextColumn("{task.fields[note]}"), console=self._console
            )
            self._task = self._bar.add_task(self._name, total=self._total, completed=self._found, note="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close with what was done."""
        if self._bar is not None:
            self._bar.stop()
        else:
            self._line(final=True)

    def advance(self, *, rows: int = 0, parts: int = 1, note: str = "") -> None:
        """Count parts that are done."""
        self._done += parts
        self._rows += rows
        self._show(note)

    def reach(self, done: int) -> None:
        """Count up to a number; what lies before the first one was found done."""
        if self._done == self._found == 0:
            self._done = self._found = done - 1
        self.advance(parts=done - self._done)

    def say(self, text: str) -> None:
        """A line of its own, above the bar."""
        self._console.print(f"{self._name}: {text}", markup=False)

    def fail(self) -> None:
        """Count a part that was set aside."""
        self._failed += 1
        self._show("")

    def retry(self, why: str) -> None:
        """Count an attempt that failed and will be repeated; the first few are told."""
        self._retried += 1
        if self._retried <= _RETRIES_TOLD:
            self.say(f"tried again: {' '.join(why.split())}")
        self.refresh()

    def refresh(self) -> None:
        """Show that time passes."""
        self._show("")

    def _rate(self) -> float:
        """Done now, each second."""
        return (self._done - self._found) / max(1e-9, time.monotonic() - self._begin)

    def _show(self, note: str) -> None:
        if self._bar is not None:
            rate = f"{self._rate():.3g} {self._unit}/s " if self._done > self._found else ""
            text = f"{self._failed} failed " if self._failed else ""
            self._bar.update(self._task, completed=self._done, note=rate + text + note)
        elif time.monotonic() - self._last > _SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            self._line(final=False, note=note)

    def _line(self, *, final: bool, note: str = "") -> None:
        seconds = time.monotonic() - self._begin
        now = self._done - self._found
        facts = [f"{self._done}/{self._total} {self._unit}"]
        if self._found:
            facts.append(f"{self._found} found done")
        if self._rows:
            facts.append(f"{self._rows} rows")
        if now and not final:
            facts.append(f"{self._rate():.3g} {self._unit}/s")
            facts.append(f"{(self._total - self._done - self._failed) / self._rate():.0f} s left")
        if self._retried:
            facts.append(f"{self._retried} tried again")
        if self._failed:
            facts.append(f"{self._failed} failed")
        if note:
            facts.append(note)
        self._console.print(f"{self._name}: {', '.join(facts)} [{seconds:.1f} s]", markup=False)
