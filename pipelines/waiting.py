"""Parts that wait for a worker, some of them for a while."""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Iterable

__all__ = ["Waiting"]

_LONGEST_SLEEP_S = 0.5


class Waiting:
    """Parts in the order of work; those that failed come again, before new ones, when their time has come.

    So what fails for good, such as a full disk, is known soon and not after all other parts met it as well.
    """

    def __init__(self, parts: Iterable[str]) -> None:
        """All may begin at once. The clock is the one that no one can set."""
        self._fresh = deque(parts)
        self._failed: list[tuple[float, int, str]] = []
        self._number = 0

    def __len__(self) -> int:
        """Parts that wait."""
        return len(self._fresh) + len(self._failed)

    def add(self, part: str, *, after_s: float) -> None:
        """Let a part that failed wait."""
        heapq.heappush(self._failed, (time.monotonic() + after_s, self._number, part))
        self._number += 1

    def ready(self) -> bool:
        """Whether a part may begin now."""
        return bool(self._fresh) or self._comes_again()

    def _comes_again(self) -> bool:
        return bool(self._failed) and self._failed[0][0] <= time.monotonic()

    def pop(self) -> str:
        """The part whose turn it is; one must be ready."""
        return heapq.heappop(self._failed)[2] if self._comes_again() else self._fresh.popleft()

    def pause(self) -> None:
        """Wait a moment for the next to be ready; at least one waits."""
        if not self._fresh:
            time.sleep(min(max(0.0, self._failed[0][0] - time.monotonic()), _LONGEST_SLEEP_S))
