"""What an error means for the part that met it, and how long to wait before the part is tried again.

| kind | examples | what follows |
|---|---|---|
| transient | no answer, a deadline, an error of the system | tried again, ``cluster.retries`` times |
| lost | its worker died: killed, out of memory, crashed | tried again, see ``deaths_allowed`` |
| full | no space on a disk | tried again, then the run stops: every other part would fail as well |
| corrupt | content that fails its checksum | tried again once, then set aside |
| wrong | data that contradict what they should be, a file that is absent | set aside at once |
| denied | a server refuses | the run stops at once |
| refused | a setting that cannot be | the run stops at once |
"""

from __future__ import annotations

import errno
import hashlib
import math
import os
from enum import StrEnum

from segclr.config import ClusterConfig
from segclr.errors import (
    AccessDeniedError,
    ConfigError,
    CorruptDataError,
    DataError,
    LostWorkerError,
    MissingDataError,
)

__all__ = ["ErrorKind", "deaths_allowed", "delay_s", "error_kind", "most_attempts"]

_UNLUCKY = 1e-3
"""Chance at which deaths of workers are laid to the part."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class ErrorKind(StrEnum):
    """What an error means for the part that met it."""

    transient = "transient"
    lost = "lost"
    full = "full"
    corrupt = "corrupt"
    wrong = "wrong"
    denied = "denied"
    refused = "refused"

    @property
    def stops(self) -> bool:
        """Whether no other part would fare better."""
        return self in (ErrorKind.full, ErrorKind.denied, ErrorKind.refused)


_KINDS: tuple[tuple[type[BaseException], ErrorKind], ...] = (
    (AccessDeniedError, ErrorKind.denied),
    (ConfigError, ErrorKind.refused),
    (LostWorkerError, ErrorKind.lost),
    (CorruptDataError, ErrorKind.corrupt),
    (DataError, ErrorKind.wrong),
    (MissingDataError, ErrorKind.wrong),
)
"""The first that fits holds: an AccessDeniedError is a DataError as well."""


def error_kind(error: BaseException) -> ErrorKind:
    """What an error means; one that nobody foresaw may pass, so it is transient."""
    for kind, meaning in _KINDS:
        if isinstance(error, kind):
            return meaning
    if _is_full(error):
        return ErrorKind.full
    return ErrorKind.transient


def _is_full(error: BaseException) -> bool:
    """Whether a disk or quota is full; pyarrow and tensorstore put the number into the text alone."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    return any(os.strerror(number) in str(error) for number in _FULL)


def most_attempts(kind: ErrorKind, config: ClusterConfig) -> int:
    """How often a part may meet errors of a kind before they are final."""
    if kind in (ErrorKind.transient, ErrorKind.full):
        return 1 + config.retries
    if kind is ErrorKind.lost:
        return config.worker_deaths
    return 2 if kind is ErrorKind.corrupt else 1


def deaths_allowed(config: ClusterConfig, *, deaths: int, done: int) -> int:
    """How often a part's worker may die before the part is to blame.

    Where workers also die of other parts (preempted, killed), a part must die so often that chance would do
    it to one in a thousand, so that none is set aside for being unlucky. At most ten times the configured
    number, and that number where no other part was ever done: then something is wrong with all of them.

    Args:
        config: has ``worker_deaths``.
        deaths: of workers on the other parts of the stage.
        done: other parts that were done in the meantime.
    """
    if not deaths or not done:
        return config.worker_deaths
    by_chance = math.ceil(math.log(_UNLUCKY) / math.log(deaths / (deaths + done)))
    return min(max(config.worker_deaths, by_chance), 10 * config.worker_deaths)


def delay_s(part: str, attempt: int, config: ClusterConfig) -> float:
    """Seconds to wait before a part's next attempt.

    Doubles with every attempt up to a bound; a draw from the part's name takes off up to half, so that parts
    that failed together do not come back together, and the same run waits the same.

    Args:
        part: its name.
        attempt: how many there were, 1 or more.
        config: has the first wait and the longest.
    """
    longest = min(config.retry_most_s, config.retry_first_s * 2.0 ** min(attempt - 1, 60))
    drawn = int.from_bytes(hashlib.sha256(f"{part} {attempt}".encode()).digest()[:8], "little") / 2**64
    return longest * (1 - drawn / 2)
