import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segclr import files
from segclr.errors import CorruptDataError, MissingDataError

ID = 2**63 + 5


@pytest.fixture(params=["plain", "file", "memory"])
def folder(request, tmp_path):
    if request.param == "memory":
        url = f"memory://test-files/{tmp_path.name}"
        yield url
        files.remove(url)
    else:
        yield f"{'file://' if request.param == 'file' else ''}{tmp_path}/with space [1] é"


def test_what_is_written_is_read(folder):
    url = files.join(folder, "a", "b.bin")
    assert not files.exists(url)
    files.write_bytes(url, b"one")
    files.write_bytes(url, b"\x00\xff" * 1000)
    assert files.exists(url)
    assert files.read_bytes(url) == b"\x00\xff" * 1000


def test_glob_gives_sorted_urls_that_open_again(folder):
    for name in ("b.x", "a.x", "c.y"):
        files.write_bytes(files.join(folder, name), name.encode())
    found = files.glob(folder, "*.x")
    assert [files.read_bytes(u) for u in found] == [b"a.x", b"b.x"]
    assert files.glob(files.join(folder, "absent"), "*") == []


def test_removing_takes_all_below_and_forgives_absence(folder):
    files.write_bytes(files.join(folder, "x", "y"), b"1")
    files.remove(files.join(folder, "x"))
    files.remove(files.join(folder, "x"))
    assert not files.exists(files.join(folder, "x", "y"))


def test_an_absent_file_is_named(folder):
    with pytest.raises(MissingDataError, match=r"nothing\.json"):
        files.read_json(files.join(folder, "nothing.json"))


def test_json_round_trips_with_ids_above_two_to_the_53(folder):
    url = files.join(folder, "v.json")
    value = {"id": ID, "list": [2**53 + 1, 2**64 - 1], "text": "ü"}
    files.write_json(url, value)
    assert files.read_json(url) == value


def test_equal_json_values_are_equal_bytes(tmp_path):
    one, other = str(tmp_path / "1"), str(tmp_path / "2")
    files.write_json(one, {"b": 1, "a": [2]})
    files.write_json(other, {"a": [2], "b": 1})
    assert files.read_bytes(one) == files.read_bytes(other)


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"\xff\xfe\x00"])
def test_torn_json_is_corrupt_data(tmp_path, content):
    url = str(tmp_path / "v.json")
    files.write_bytes(url, content)
    with pytest.raises(CorruptDataError, match="not JSON"):
        files.read_json(url)


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failure_in_the_middle_leaves_the_old_content_and_no_litter(tmp_path, monkeypatch, failing):
    url = str(tmp_path / "part.bin")
    files.write_bytes(url, b"old")

    def fail(*_args):
        raise OSError(28, "No space left on device")

    if failing == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    else:
        monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        files.write_bytes(url, b"new and longer")
    monkeypatch.undo()
    assert files.read_bytes(url) == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["part.bin"]


def test_an_interrupt_in_the_middle_leaves_no_litter(tmp_path, monkeypatch):
    def stop(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        files.write_bytes(str(tmp_path / "part.bin"), b"new")
    assert list(tmp_path.iterdir()) == []


def test_the_bytes_are_on_disk_before_the_name_is(tmp_path, monkeypatch):
    events = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (events.append("fsync"), fsync(fd))[1])
    monkeypatch.setattr(Path, "replace", lambda a, b: (events.append("rename"), replace(a, b))[1])
    files.write_bytes(str(tmp_path / "part.bin"), b"new")
    assert events == ["fsync", "rename", "fsync"]


def test_a_home_folder_is_the_same_for_writing_and_reading(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    files.write_bytes("~/run/a.bin", b"1")
    assert files.read_bytes("~/run/a.bin") == (tmp_path / "run" / "a.bin").read_bytes() == b"1"


def test_relative_paths_are_below_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files.write_bytes("run/a.bin", b"1")
    assert (tmp_path / "run" / "a.bin").exists()
    assert files.read_bytes("../" + tmp_path.name + "/run/a.bin") == b"1"


@given(st.binary(max_size=200))
def test_sha256_is_the_standards(content):
    assert files.sha256(content) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("url", "local"),
    [("a/b", True), ("/a", True), ("file:///a", True), ("gs://a", False), ("memory://a", False)],
)
def test_local_urls_are_told_from_others(url, local):
    assert files.is_local(url) is local


def test_what_another_process_deletes_at_the_same_time_is_deleted(tmp_path, monkeypatch):
    (tmp_path / "records").mkdir()
    for number in range(5):
        (tmp_path / "records" / str(number)).write_text("")
    delete = os.unlink

    def second(path, **where):
        delete(path, **where)
        if str(path).endswith("2"):
            delete(path, **where)  # as one that comes after the other process

    monkeypatch.setattr(os, "unlink", second)
    files.remove(str(tmp_path / "records"))
    assert not (tmp_path / "records").exists()
