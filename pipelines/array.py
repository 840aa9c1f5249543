"""Shares of a run's parts: many processes on one run folder, with no scheduler between them.

Process i of N does every N-th part of each stage, beginning with its i-th: a rule that does not depend on
what is done already, so processes may start at any time, end, and be started again, also with another N.
Before the next stage each waits until the parts of the others are recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from segclr.errors import ConfigError

__all__ = ["WHOLE", "Share"]


@dataclass(frozen=True)
class Share:
    """The parts that are one process's own.

    Attributes:
        part: of the process, from 0.
        of: how many processes there are.

    Raises:
        ConfigError: there is no such process.
    """

    part: int = 0
    of: int = 1

    def __post_init__(self) -> None:
        """Refuse what is no share."""
        if not 0 <= self.part < self.of:
            msg = f"--part counts from 0 to --of less 1: got --part {self.part} --of {self.of}"
            raise ConfigError(msg)

    @property
    def is_whole(self) -> bool:
        """Whether there are no others."""
        return self.of == 1

    def mine(self, parts: Sequence[str]) -> list[str]:
        """The parts to do here."""
        return list(parts[self.part :: self.of])


WHOLE = Share()
