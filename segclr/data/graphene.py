"""Graphene (chunked graph) segmentations: supervoxels as precomputed, root ids by cloud-volume's client.

Root ids change with every edit, so a moment must be named: the ids are those of that moment.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import requests
from cloudvolume import CloudVolume
from cloudvolume.exceptions import AuthenticationError, UnsupportedFormatError
from numpy.typing import NDArray

from segclr.data.access import Access
from segclr.data.bytestore import forget_handles
from segclr.data.missing import MissingChunks
from segclr.data.precomputed import PrecomputedScale, PrecomputedSource, scales_of_info
from segclr.errors import (
    AccessDeniedError,
    ConfigError,
    MissingDataError,
    ReadTimeoutError,
    SegclrError,
    UnreachableError,
    VolumeError,
)
from segclr.geometry import BoundingBox, Triple, VoxelSize

__all__ = ["GrapheneScale", "GrapheneSource", "scales"]


@dataclass(frozen=True)
class GrapheneScale:
    """A scale of the supervoxels, and the moment whose roots are asked for."""

    path: str
    supervoxels: PrecomputedScale
    timestamp_s: int

    @property
    def voxel_size_nm(self) -> VoxelSize:
        """Of the supervoxels."""
        return self.supervoxels.voxel_size_nm

    def open(self, missing: MissingChunks) -> GrapheneSource:
        """The scale as a source of root ids."""
        return GrapheneSource(self.path, self.supervoxels.open(missing), self.timestamp_s)


def scales(path: str, access: Access) -> list[GrapheneScale]:
    """The stored scales, finest first.

    Raises:
        VolumeError: no moment is named, or the server's answer cannot be used.
        AccessDeniedError: there is no token for the server, or it is refused.
    """
    forget_handles()
    _graph.cache_clear()
    moment = _in_time(lambda: _timestamp_s(access), access.timeout_s, "CAVE")
    graph = _in_time(lambda: _graph(path), access.timeout_s, f"graphene://{path}")
    found = scales_of_info(graph.meta.info, graph.meta.cloudpath, url=f"graphene://{path}", access=access)
    if found[0].dtype != np.uint64:
        msg = f"graphene://{path} has supervoxels of {found[0].dtype}; allowed is uint64"
        raise VolumeError(msg)
    return [GrapheneScale(path, replace(scale), moment) for scale in found]


@functools.lru_cache(maxsize=4)
def _graph(path: str) -> Any:
    """cloud-volume's client of the graph server, made once a process."""
    return CloudVolume(f"graphene://{path}", progress=False, provenance={}, use_https=True)


def _timestamp_s(access: Access) -> int:
    """Unix time of the moment that is named.

    Raises:
        VolumeError: none is, both are, or it cannot be read.
    """
    if (access.timestamp is None) == (access.materialization is None):
        msg = (
            "a graphene segmentation changes with every edit: give either timestamp (ISO 8601, such as "
            "2026-01-31T00:00:00Z) or materialization (datastack/version)"
        )
        raise VolumeError(msg)
    if access.timestamp is None:
        return _materialized_s(str(access.materialization))
    try:
        moment = datetime.fromisoformat(access.timestamp)
    except ValueError as error:
        msg = f"timestamp must be ISO 8601, such as 2026-01-31T00:00:00Z, got {access.timestamp!r}"
        raise VolumeError(msg) from error
    return _whole_s(moment)


def _whole_s(moment: datetime) -> int:
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(np.ceil(zoned.timestamp()))


@functools.lru_cache(maxsize=4)
def _materialized_s(name: str) -> int:
    """Moment of a materialization ``"datastack/version"``, asked of CAVE.

    Raises:
        ConfigError: caveclient is not installed.
        VolumeError: the name is not of this form.
    """
    datastack, _, version = name.partition("/")
    if not datastack or not version.isdecimal():
        msg = f"materialization must be datastack/version, such as minnie65_public/1300, got {name!r}"
        raise VolumeError(msg)
    try:
        from caveclient import CAVEclient
    except ImportError as error:
        msg = (
            "materializations are looked up by caveclient, which is not installed: pip install 'segclr[cave]'"
        )
        raise ConfigError(msg) from error
    return _whole_s(CAVEclient(datastack).materialize.get_timestamp(int(version)))


def _in_time(call: Callable[[], Any], timeout_s: float, what: str) -> Any:
    """A call's answer in time; cloud-volume's client itself waits for ever.

    Raises:
        ReadTimeoutError: it did not end; its thread is left behind and does not hold up the process's end.
    """
    answer: list[Any] = []
    failure: list[Exception] = []

    def work() -> None:
        try:
            answer.append(call())
        except Exception as error:  # noqa: BLE001 - raised again below
            failure.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(timeout_s)
    if failure:
        raise _translated(failure[0], what) from failure[0]
    if not answer:
        msg = f"{what} did not answer within {timeout_s:g} s (volume.timeout_s)"
        raise ReadTimeoutError(msg)
    return answer[0]


def _translated(error: Exception, what: str) -> Exception:
    if isinstance(error, SegclrError):
        return error
    status = getattr(getattr(error, "response", None), "status_code", None)
    detail = str(error).splitlines()[0] if str(error) else type(error).__name__
    if isinstance(error, AuthenticationError) or status in (401, 403):
        return AccessDeniedError(f"{what} is denied: {detail}")
    if status == 404:
        return MissingDataError(f"no graphene volume at {what}: {detail}")
    if isinstance(error, (requests.RequestException, OSError)) and not isinstance(error, ValueError):
        return UnreachableError(f"{what} cannot be read: {detail}")
    if isinstance(error, UnsupportedFormatError):
        return VolumeError(f"cannot open {what}: the path must end in segmentation/table/NAME")
    return VolumeError(f"{what}: the server's answer cannot be used: {type(error).__name__} {detail}")


@dataclass(frozen=True)
class GrapheneSource:
    """Root ids at one moment; the client is made where it is used, once a process."""

    path: str
    supervoxels: PrecomputedSource
    timestamp_s: int

    @property
    def url(self) -> str:
        """As given to ``open_volume``."""
        return f"graphene://{self.path}"

    @property
    def voxel_size_nm(self) -> VoxelSize:
        """Of the supervoxels."""
        return self.supervoxels.voxel_size_nm

    @property
    def bounds(self) -> BoundingBox:
        """Of the supervoxels."""
        return self.supervoxels.bounds

    @property
    def chunk_size_vx(self) -> Triple:
        """Of the supervoxels."""
        return self.supervoxels.chunk_size_vx

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint64."""
        return self.supervoxels.dtype

    def read_inside(self, box: BoundingBox) -> NDArray[Any]:
        """Read supervoxels and ask for their roots.

        Raises:
            AccessDeniedError: the token is refused; else as :meth:`PrecomputedSource.read_inside`.
        """
        supervoxels = self.supervoxels.read_inside(box)
        ids, inverse = np.unique(supervoxels, return_inverse=True)
        asked = ids[ids != 0]
        roots = np.zeros_like(ids)
        if len(asked):
            timeout_s = self.supervoxels.scale.access.timeout_s
            found = _in_time(
                lambda: _graph(self.path).get_roots(asked, timestamp=self.timestamp_s), timeout_s, self.url
            )
            roots[ids != 0] = found
        return roots[inverse.reshape(supervoxels.shape)]
