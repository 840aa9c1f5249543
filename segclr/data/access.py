"""How a stored volume is reached: the choices that a URL leaves open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from segclr.errors import VolumeError

__all__ = ["Access", "MissingPolicy"]

MissingPolicy = Literal["error", "background"]


@dataclass(frozen=True)
class Access:
    """Choices that only some formats need; those of other formats are passed over.

    Attributes:
        missing: a chunk that is not stored is an ``"error"``, or reads as ``"background"`` (0) and is
            counted in ``Volume.n_missing_chunks``. Zarr and N5 say themselves that an absent chunk is the
            array's fill value, so there is none missing in them.
        timeout_s: deadline of each read, in seconds, its retries included.
        anonymous: read ``gs://`` and ``s3://`` without credentials; otherwise with those of the environment.
        channel: index of the channel, where there are several.
        time: index of the time point, where there are several.
        timestamp: of a graphene segmentation, ISO 8601; without a zone it is UTC.
        materialization: of a graphene segmentation instead, ``"datastack/version"`` (extra ``cave``).
    """

    missing: MissingPolicy = "error"
    timeout_s: float = 300.0
    anonymous: bool = True
    channel: int | None = None
    time: int | None = None
    timestamp: str | None = None
    materialization: str | None = None

    def __post_init__(self) -> None:
        """Refuse what no format could use."""
        if self.missing not in ("error", "background"):
            msg = f"missing must be 'error' or 'background', got {self.missing!r}"
            raise VolumeError(msg)
        if not self.timeout_s > 0:
            msg = f"timeout_s must be above 0, got {self.timeout_s}"
            raise VolumeError(msg)

    def chosen(self, axis: Literal["channel", "time"], length: int, *, url: str) -> int:
        """Index on an axis of that length.

        Raises:
            VolumeError: there are several and none is chosen, or the one chosen is not there.
        """
        index: int | None = getattr(self, axis)
        if index is None and length != 1:
            msg = f"{url} has {length} entries on its {axis} axis; choose one with {axis}, 0 to {length - 1}"
            raise VolumeError(msg)
        if index is not None and not 0 <= index < length:
            msg = f"{url} has no {axis} {index}; allowed are 0 to {length - 1}"
            raise VolumeError(msg)
        return index or 0
