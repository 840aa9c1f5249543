"""Chunks that a volume lacks: refused, or read as background and counted."""

from __future__ import annotations

from dataclasses import dataclass, field

from segclr.data.access import MissingPolicy
from segclr.errors import VolumeError

__all__ = ["MissingChunks"]


@dataclass
class MissingChunks:
    """What a volume object found missing in this process; each chunk counts once, however often it is read.

    A stage opens its volumes anew for each part, so the count belongs to the part and is the same every time.

    Attributes:
        policy: whether a missing chunk is an error.
        names: of the missing chunks read as background.
    """

    policy: MissingPolicy = "error"
    names: set[str] = field(default_factory=set)

    def note(self, url: str, name: str) -> None:
        """Take note of a missing chunk.

        Raises:
            VolumeError: the policy is ``"error"``.
        """
        if self.policy == "error":
            msg = (
                f"{url}: chunk {name} is missing; volume.missing: background reads missing chunks as 0 and "
                "counts them"
            )
            raise VolumeError(msg)
        self.names.add(name)
