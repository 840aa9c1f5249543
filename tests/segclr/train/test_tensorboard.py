"""The event file, read back record by record."""

import struct
import sys

import pytest

from segclr.errors import ConfigError
from segclr.train.tensorboard import EVENTS, require_tensorboard, write_events

ROWS = [
    {"step": 0, "loss": None, "top1": 0.25, "n_views": 16, "collapse": ""},
    {"step": 5, "loss": 1.5, "top1": 0.5, "n_views": 16, "collapse": "point"},
]


def scalars(folder):
    """Step and value of every scalar, by tag.

    Records by hand: length, its checksum, content, its checksum (TensorBoard's reader loads TensorFlow).
    """
    from tensorboard.compat.proto import event_pb2

    content, found, versions = (folder / EVENTS).read_bytes(), {}, []
    while content:
        length, _, message, _ = struct.unpack_from(f"<QI{struct.unpack_from('<Q', content)[0]}sI", content)
        content = content[length + 16 :]
        event = event_pb2.Event.FromString(message)
        versions.append(event.file_version)
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value.simple_value))
    assert versions == ["brain.Event:2", "", ""]
    return found


def test_numbers_come_back_and_text_and_empty_cells_do_not(tmp_path):
    write_events(str(tmp_path / EVENTS), ROWS)
    assert scalars(tmp_path) == {
        "loss": [(5, 1.5)],
        "top1": [(0, 0.25), (5, 0.5)],
        "n_views": [(0, 16), (5, 16)],
    }


def test_more_rows_continue_the_bytes_of_fewer(tmp_path):
    for n in (1, 2):
        write_events(str(tmp_path / f"{n}"), ROWS[:n])
    assert (tmp_path / "2").read_bytes().startswith((tmp_path / "1").read_bytes())


def test_a_missing_package_is_told_with_the_extra_that_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer.record_writer", None)
    with pytest.raises(ConfigError, match=r"segclr\[tensorboard\]"):
        require_tensorboard()
