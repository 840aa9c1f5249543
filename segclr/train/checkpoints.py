"""Checkpoints of a training run: whole or absent, checked when read, the newest two kept.

``step-00000100.ckpt`` is what Lightning saves, ``step-00000100.json`` its record, written after it: a
checkpoint counts where the record parses and its checksum holds.
"""

from __future__ import annotations

import io
import warnings
from typing import Any

import torch
from pytorch_lightning.plugins import CheckpointIO

from segclr import files
from segclr.errors import CorruptDataError, MissingDataError

__all__ = ["CheckedCheckpoints", "checkpoint_url", "newest_checkpoint", "read_checkpoint", "remove_all_but"]

_SUFFIX = ".ckpt"
_RECORD = ".json"


def checkpoint_url(folder: str, step: int) -> str:
    """Where the checkpoint after ``step`` steps lies."""
    return files.join(folder, f"step-{step:08d}{_SUFFIX}")


def read_checkpoint(url: str) -> dict[str, Any]:
    """The content of a checkpoint: tensors and plain values, never unpickled objects.

    Raises:
        MissingDataError: the checkpoint or its record is absent.
        CorruptDataError: the checkpoint fails its checksum, or holds more than tensors and plain values.
    """
    record = files.read_json(_record_url(url))
    content = files.read_bytes(url)
    if not isinstance(record, dict) or record.get("sha256") != files.sha256(content):
        msg = f"{url} fails its checksum"
        raise CorruptDataError(msg)
    try:
        return dict(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    except Exception as error:  # torch raises many kinds for a broken archive
        msg = f"{url} is not a checkpoint of this package: {error}"
        raise CorruptDataError(msg) from error


def newest_checkpoint(folder: str) -> tuple[str, dict[str, Any]] | None:
    """The newest readable checkpoint with its URL, or None; each unreadable one is named in a warning.

    Raises:
        CorruptDataError: checkpoints were finished here, and none can be read: to begin anew would write
            over them.
    """
    damaged: CorruptDataError | None = None
    for url in reversed(files.glob(folder, f"step-*{_SUFFIX}")):
        try:
            return url, read_checkpoint(url)
        except MissingDataError:
            continue  # killed between checkpoint and record: as if never written
        except CorruptDataError as error:
            warnings.warn(f"{error}: going on from an older checkpoint", stacklevel=2)
            damaged = error
    if damaged is not None:
        msg = f"{damaged}, and there is no older one; delete {folder} to train from the start"
        raise CorruptDataError(msg) from damaged
    return None


def remove_all_but(folder: str, *, keep: int) -> None:
    """Delete all checkpoints older than the newest ``keep`` with a record, record first.

    One without a record (killed in between) does not count: it must not displace a good one.
    """
    records = set(files.glob(folder, f"step-*{_RECORD}"))
    urls = files.glob(folder, f"step-*{_SUFFIX}")
    finished = [url for url in urls if _record_url(url) in records]
    if len(finished) < keep:
        return
    for url in urls[: urls.index(finished[-keep])]:
        files.remove(_record_url(url))
        files.remove(url)


def _record_url(url: str) -> str:
    return url.removesuffix(_SUFFIX) + _RECORD


class CheckedCheckpoints(CheckpointIO):
    """Lightning's way to checkpoints, through this project's files."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write the checkpoint, then its record."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        content = buffer.getvalue()
        files.write_bytes(str(path), content)
        files.write_json(
            _record_url(str(path)), {"step": checkpoint["global_step"], "sha256": files.sha256(content)}
        )

    def load_checkpoint(self, path: Any, *args: Any, **options: Any) -> dict[str, Any]:
        """Read and check."""
        return read_checkpoint(str(path))

    def remove_checkpoint(self, path: Any) -> None:
        """Delete record and checkpoint."""
        files.remove(_record_url(str(path)))
        files.remove(str(path))
