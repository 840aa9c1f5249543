"""Parts that wait for a worker, some of them for a while."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterable

__all__ = ["Waiting"]

_LONGEST_SLEEP_S = 0.5


class Waiting:
    """Parts in the order of work; those that failed come again when their time has come."""

    def __init__(self, parts: Iterable[str]) -> None:
        """All may begin at once. The clock is the one that no one can set."""
        self._heap = [(0.0, number, part) for number, part in enumerate(parts)]
        self._number = len(self._heap)

    def __len__(self) -> int:
        """Parts that wait."""
        return len(self._heap)

    def add(self, part: str, *, after_s: float) -> None:
        """Let a part wait."""
        heapq.heappush(self._heap, (time.monotonic() + after_s, self._number, part))
        self._number += 1

    def ready(self) -> bool:
        """Whether a part may begin now."""
        return bool(self._heap) and self._heap[0][0] <= time.monotonic()

    def pop(self) -> str:
        """The part whose turn it is; one must be ready."""
        return heapq.heappop(self._heap)[2]

    def pause(self) -> None:
        """Wait a moment for the next to be ready."""
        time.sleep(min(max(0.0, self._heap[0][0] - time.monotonic()), _LONGEST_SLEEP_S))
