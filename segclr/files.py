"""Files by URL: any path fsspec opens, written so that a name that exists is a file that is whole.

A local file is written under a temporary name, fsynced, renamed, and its folder fsynced (FAULTS C.2);
an object store's upload is atomic by itself, so there the bytes are simply put.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
from glob import escape as glob_escape
from pathlib import Path
from typing import Any

import fsspec

from segclr.errors import CorruptDataError, MissingDataError

__all__ = [
    "exists",
    "glob",
    "is_local",
    "join",
    "local_path",
    "read_bytes",
    "read_json",
    "remove",
    "remove_leftovers",
    "sha256",
    "sync",
    "write_bytes",
    "write_json",
]

_TEMPORARY = ".partial-"
_DELETIONS = 100


def is_local(url: str) -> bool:
    """Whether a URL names a file of this machine."""
    return "://" not in url or url.startswith(("file://", "local://"))


def local_path(url: str) -> Path:
    """The path of a local URL."""
    return Path(url.split("://", 1)[1] if "://" in url else url).expanduser()


def join(url: str, *names: str) -> str:
    """A URL below another."""
    return "/".join([url.rstrip("/"), *names])


def _filesystem(url: str) -> tuple[Any, str]:
    filesystem, path = fsspec.core.url_to_fs(url)
    return filesystem, path


def exists(url: str) -> bool:
    """Whether there is a file or folder."""
    filesystem, path = _filesystem(url)
    return bool(filesystem.exists(path))


def glob(url: str, pattern: str) -> list[str]:
    """URLs below a folder that match a pattern, sorted; empty where the folder is absent."""
    filesystem, path = _filesystem(url)
    if not filesystem.exists(path):
        return []
    found = sorted(str(p) for p in filesystem.glob(f"{glob_escape(path.rstrip('/'))}/{pattern}"))
    return [str(filesystem.unstrip_protocol(p)) if not is_local(url) else p for p in found]


def read_bytes(url: str) -> bytes:
    """The whole content.

    Raises:
        MissingDataError: there is no such file.
    """
    filesystem, path = _filesystem(url)
    try:
        return bytes(filesystem.cat_file(path))
    except FileNotFoundError as error:
        msg = f"no such file: {url}"
        raise MissingDataError(msg) from error


def write_bytes(url: str, content: bytes) -> None:
    """Write a whole file, or nothing: the name never shows a half-written content."""
    if not is_local(url):
        filesystem, path = _filesystem(url)
        filesystem.pipe_file(path, content)
        return
    target = local_path(url)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f"{_TEMPORARY}{target.name}-{uuid.uuid4().hex}"
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync(target.parent)


def remove_leftovers(url: str) -> None:
    """Delete what killed attempts at writing a local file left beside it, ours and zarr-python's."""
    if is_local(url):
        target = local_path(url)
        name = glob_escape(target.name)
        for pattern in (f"{_TEMPORARY}{name}-*", f"{name}.*.partial"):
            for leftover in target.parent.glob(pattern):
                leftover.unlink(missing_ok=True)


def sync(url: str) -> None:
    """Make a local file that another library wrote survive a power cut; object stores need nothing."""
    if is_local(url):
        path = local_path(url)
        _sync(path)
        _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(url: str) -> None:
    """Delete a file or a folder with all in it; nothing happens where it is absent."""
    filesystem, path = _filesystem(url)
    for _ in range(_DELETIONS):
        if not filesystem.exists(path):
            return
        with contextlib.suppress(FileNotFoundError):  # another process may delete it at the same time
            filesystem.rm(path, recursive=True)


def read_json(url: str) -> Any:
    """The value of a JSON file.

    Raises:
        MissingDataError: there is no such file.
        CorruptDataError: the file is not JSON.
    """
    try:
        return json.loads(read_bytes(url))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        msg = f"{url} is not JSON: {error}"
        raise CorruptDataError(msg) from error


def write_json(url: str, value: Any) -> None:
    """Write a value as JSON, whole or not at all, with sorted keys so that equal values are equal bytes."""
    write_bytes(url, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())


def sha256(content: bytes) -> str:
    """Hex digest of some bytes."""
    return hashlib.sha256(content).hexdigest()
