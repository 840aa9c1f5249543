"""Bytes by key below a URL, through tensorstore: a deadline on every read, and absent is never refused.

tensorstore retries what may pass (HTTP 429, 5xx, broken connections) with jitter, a bounded number of
times; 404 is an absent key, 401 and 403 are errors.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import tensorstore

from segclr import files
from segclr.errors import (
    AccessDeniedError,
    CorruptDataError,
    MissingDataError,
    ReadTimeoutError,
    SegclrError,
    UnreachableError,
    VolumeError,
)

__all__ = ["ByteStore", "Deadline", "absolute", "context", "forget_handles", "kvstore_spec", "translated"]

_RETRIES = {"max_retries": 5, "initial_delay": "300ms", "max_delay": "10s"}
_AHEAD = 16
"""Values that are on their way at a time: enough to hide a server's delay, few enough to stay in memory."""

_REQUESTS = 32
"""Requests on their way at a time to servers of one kind; tensorstore's own number."""

_INDEX_CACHE_BYTES = 16 * 2**20
"""Shard indices that are kept; chunks themselves are not cached."""


class Deadline:
    """Seconds left of a read."""

    def __init__(self, timeout_s: float) -> None:
        """Begin now."""
        self.timeout_s = timeout_s
        self._end = time.monotonic() + timeout_s

    def result(self, future: Any) -> Any:
        """What a tensorstore future answers; TimeoutError where time runs out before.

        Requests that hang keep their places among those allowed at a time, also when nobody waits for them;
        so what is opened after a timeout gets resources of its own.
        """
        try:
            return future.result(timeout=max(0.0, self._end - time.monotonic()))
        except TimeoutError:
            context.cache_clear()
            raise


def translated(error: Exception, *, what: str, timeout_s: float) -> SegclrError:
    """The project's error for one of tensorstore's, which differ by the word they begin with."""
    text = str(error)
    kind, _, rest = text.partition(": ")
    said = re.split(r" \[(?:http_response_body|source locations|tensorstore_spec)", rest or text, maxsplit=1)
    detail = said[0].replace("\n", " ")
    if isinstance(error, TimeoutError):
        return ReadTimeoutError(f"{what} did not end within {timeout_s:g} s (volume.timeout_s)")
    if kind in ("PERMISSION_DENIED", "UNAUTHENTICATED"):
        return AccessDeniedError(f"{what} is denied: {detail}")
    if kind == "NOT_FOUND":
        return MissingDataError(f"{what}: {detail}")
    refused = _what_the_server_did(detail)
    if refused is not None:
        return UnreachableError(f"{what} cannot be read: {refused}")
    if kind in ("DATA_LOSS", "FAILED_PRECONDITION", "INVALID_ARGUMENT", "OUT_OF_RANGE"):
        return CorruptDataError(f"{what} cannot be decoded: {detail}")
    return UnreachableError(f"{what} cannot be read: {detail}")


def _what_the_server_did(detail: str) -> str | None:
    """In words, where a server answered, but not what was asked of it; the data may be fine."""
    if "ignored by server" in detail:
        return (
            "the server sends whole files where a range of bytes is asked for, as Python's http.server does; "
            "sharded volumes need one that can"
        )
    status = re.search(r"\[HTTP response code: (\d+)\]|\[HTTP code (\d+)\]|HTTP/\S+ (\d{3})", detail)
    code = next((int(c) for c in status.groups() if c), 0) if status else 0
    if 300 <= code < 400:
        return f"the server sends elsewhere (HTTP {code}), which is not followed: give the address it names"
    if 400 <= code < 500:
        return f"the server does not take the request (HTTP {code})"
    return None


def absolute(url: str) -> str:
    """A URL that means the same in every working folder, without a slash at its end."""
    return str(files.local_path(url).resolve()) if files.is_local(url) else url.rstrip("/")


def kvstore_spec(url: str, *, anonymous: bool) -> dict[str, Any]:
    """Describe the folder at a URL to tensorstore.

    Raises:
        VolumeError: the scheme cannot be read.
    """
    if files.is_local(url):
        return {"driver": "file", "path": f"{files.local_path(absolute(url))}/"}
    scheme, _, rest = url.partition("://")
    bucket, _, path = rest.rstrip("/").partition("/")
    path = f"{path}/" if path else ""
    if scheme in ("http", "https"):
        return {"driver": "http", "base_url": f"{scheme}://{bucket}", "path": f"/{path}"}
    if scheme == "gs" and anonymous:
        return {"driver": "http", "base_url": "https://storage.googleapis.com", "path": f"/{bucket}/{path}"}
    if scheme == "gs":
        return {"driver": "gcs", "bucket": bucket, "path": path}
    if scheme == "s3":
        credentials = {"aws_credentials": {"type": "anonymous"}} if anonymous else {}
        return {"driver": "s3", "bucket": bucket, "path": path, **credentials}
    msg = f"cannot read {url}: allowed are a path, file://, http://, https://, gs:// and s3://"
    raise VolumeError(msg)


@functools.lru_cache(maxsize=1)
def context() -> Any:
    """One set of tensorstore's resources a process, made anew after a timeout."""
    return tensorstore.Context(
        {
            "cache_pool": {"total_bytes_limit": 0},
            **{f"{kind}_request_retries": _RETRIES for kind in ("http", "gcs", "s3")},
            # of this context: tensorstore's default is one limit that all contexts share
            **{f"{kind}_request_concurrency": {"limit": _REQUESTS} for kind in ("http", "gcs", "s3")},
        }
    )


@functools.lru_cache(maxsize=16)
def _open(spec: str, resources: Any) -> Any:
    """A handle, opened once a context; a cache of its own, so that one opened anew reads anew."""
    own = tensorstore.Context({"cache_pool": {"total_bytes_limit": _INDEX_CACHE_BYTES}}, parent=resources)
    return tensorstore.KvStore.open(json.loads(spec), context=own).result()


def forget_handles() -> None:
    """Open anew what is read next: it may have been written again since."""
    _open.cache_clear()


@dataclass(frozen=True)
class ByteStore:
    """Keys below a URL.

    Attributes:
        url: of the folder.
        anonymous: see :class:`segclr.data.access.Access`.
        sharding: JSON of Neuroglancer's ``sharding`` member; keys are then chunk numbers, 8 bytes big-endian.
    """

    url: str
    anonymous: bool = True
    sharding: str | None = None

    def _handle(self) -> Any:
        spec = kvstore_spec(self.url, anonymous=self.anonymous)
        if self.sharding is not None:
            metadata = json.loads(self.sharding)
            spec = {"driver": "neuroglancer_uint64_sharded", "metadata": metadata, "base": spec}
        try:
            return _open(json.dumps(spec, sort_keys=True), context())
        except ValueError as error:
            msg = f"{self.url} cannot be opened: {str(error).splitlines()[0]}"
            raise VolumeError(msg) from error

    def read_each(self, keys: Sequence[str | bytes], deadline: Deadline) -> Iterator[bytes | None]:
        """The values of some keys in order, a few of them on their way at a time; None where one is absent.

        Raises:
            AccessDeniedError: the store refuses.
            UnreachableError: it does not answer, after retries.
            ReadTimeoutError: the deadline passed.
            CorruptDataError: a shard's index is damaged.
        """
        handle = self._handle()
        running = deque((key, handle.read(key)) for key in keys[:_AHEAD])
        waiting = iter(keys[_AHEAD:])
        while running:
            key, future = running.popleft()
            try:
                found = deadline.result(future)
            except (ValueError, TimeoutError) as error:
                shown = key if isinstance(key, str) else f"chunk {int.from_bytes(key, 'big')}"
                what = files.join(self.url, shown)
                raise translated(error, what=what, timeout_s=deadline.timeout_s) from error
            for following in itertools.islice(waiting, 1):
                running.append((following, handle.read(following)))
            value = found.value if found.state == "value" else None
            del future, found  # each holds the bytes
            yield value

    def read(self, key: str, deadline: Deadline) -> bytes | None:
        """The value of one key; None where it is absent. Raises as :meth:`read_each`."""
        return next(self.read_each([key], deadline))

    def read_json(self, key: str, deadline: Deadline) -> dict[str, Any] | None:
        """A JSON object; None where the key is absent.

        Raises:
            CorruptDataError: it is not a JSON object; else as :meth:`read_each`.
        """
        content = self.read(key, deadline)
        if content is None:
            return None
        url = files.join(self.url, key)
        try:
            value = json.loads(content)
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            msg = f"{url} is not JSON: {error}"
            raise CorruptDataError(msg) from error
        if not isinstance(value, dict):
            msg = f"{url} must hold a JSON object, got {type(value).__name__}"
            raise CorruptDataError(msg)
        return value
