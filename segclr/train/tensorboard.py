"""The training curve for TensorBoard: a second rendering of the rows of ``history.csv``.

The file is written whole each time, so a resumed training leaves no doubled or lost points, it may lie at
any URL, and equal rows give equal bytes: the "wall time" of a point is its step, in seconds.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from segclr import files
from segclr.errors import ConfigError

__all__ = ["EVENTS", "require_tensorboard", "write_events"]

EVENTS = "tensorboard/events.out.tfevents.0.segclr"
"""Where the file lies beside ``history.csv``; TensorBoard looks for ``tfevents`` in the name."""


def require_tensorboard() -> None:
    """Refuse at the start what would fail at the first look.

    Raises:
        ConfigError: the package is not installed.
    """
    try:
        import tensorboard.summary.writer.record_writer  # noqa: F401
    except ImportError as error:
        msg = (
            "monitor.tensorboard needs TensorBoard, which is not installed: pip install 'segclr[tensorboard]'"
        )
        raise ConfigError(msg) from error


def write_events(url: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write every number of the rows as a scalar at its row's ``step``; text and empty cells are left out."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    buffer = io.BytesIO()
    writer = RecordWriter(buffer)
    writer.write(Event(wall_time=0.0, file_version="brain.Event:2").SerializeToString())
    for row in rows:
        values = [
            Summary.Value(tag=name, simple_value=value)
            for name, value in row.items()
            if name != "step" and isinstance(value, (int, float))
        ]
        event = Event(wall_time=float(row["step"]), step=row["step"], summary=Summary(value=values))
        writer.write(event.SerializeToString())
    files.write_bytes(url, buffer.getvalue())
