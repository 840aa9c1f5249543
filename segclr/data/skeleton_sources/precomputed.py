"""Neuroglancer precomputed skeletons, one file a segment or in shards, read through cloud-volume.

Format: https://github.com/google/neuroglancer/blob/master/src/datasource/precomputed/skeletons.md
The info's ``transform`` leads from stored coordinates to nm. A radius is stored in the same units as the
coordinates, so it is scaled too, by the geometric mean of the transform's axes.
"""

from __future__ import annotations

import functools
import gzip
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import brotli  # type: ignore[import-untyped]
import deflate
import numpy as np
import requests
from cloudfiles import CloudFiles  # type: ignore[import-untyped]
from cloudfiles.exceptions import DecompressionError, IntegrityError  # type: ignore[import-untyped]
from cloudfiles.paths import to_https_protocol  # type: ignore[import-untyped]
from cloudvolume.datasource.precomputed.skeleton import PrecomputedSkeletonSource
from cloudvolume.exceptions import DecodingError, EmptyFileException, SpecViolation
from numpy.typing import NDArray

from segclr.data.skeleton import Skeleton
from segclr.data.skeleton_sources.source import SkeletonBatch, Unit, is_segment_id
from segclr.errors import CorruptDataError, MissingDataError, SkeletonError

__all__ = ["PrecomputedSkeletons", "cloud_path", "decode", "open_source"]

_UNDECODABLE = (
    DecodingError,
    DecompressionError,
    EmptyFileException,
    IntegrityError,
    SpecViolation,
    deflate.DeflateError,
    brotli.error,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
)
"""What cloud-volume and its decoders raise for a torn file; they share no base."""


def open_source(path: str, unit: Unit) -> PrecomputedSkeletons:
    """The skeletons at a skeleton folder, or at a volume whose info names one.

    Raises:
        MissingDataError: there is no info file.
        SkeletonError: the info is neither of skeletons nor names some, or cannot be used.
    """
    root = cloud_path(path)
    info = _read_info(root)
    if info.get("@type") == "neuroglancer_skeletons":
        folder = root
    elif isinstance(info.get("skeletons"), str) and info["skeletons"]:
        folder = f"{root}/{info['skeletons']}"
    else:
        msg = f"the info of {root} names no skeletons: it is a {info.get('@type') or info.get('type')}"
        raise SkeletonError(msg)
    _folder.cache_clear()  # a source opened anew is read anew: it may have been written again since
    _folder(folder)
    return PrecomputedSkeletons(f"precomputed://{path}", folder, unit)


def cloud_path(path: str) -> str:
    """The path as cloud-files takes it, public buckets over https, without credentials."""
    return str(to_https_protocol(path if "://" in path else f"file://{path}")).rstrip("/")


def _read_info(folder: str) -> dict[str, Any]:
    try:
        info = CloudFiles(folder).get_json("info")
    except ValueError as error:
        msg = f"{folder}/info is not JSON: {error}"
        raise SkeletonError(msg) from error
    if info is None:
        _check_access([f"{folder}/info"])
        msg = f"no precomputed skeletons at {folder}: there is no info file"
        raise MissingDataError(msg)
    if not isinstance(info, dict):
        msg = f"{folder}/info must hold keys and values, got {type(info).__name__}"
        raise SkeletonError(msg)
    return info


@dataclass(frozen=True)
class _Folder:
    """A skeleton folder's info, checked, and the handles to read it."""

    transform: NDArray[np.float64]  # [3, 4]
    attributes: tuple[tuple[str, np.dtype[Any], int], ...]  # name, type and components of each
    files: Any
    sharded: Any  # cloud-volume's source, or None


@functools.lru_cache(maxsize=8)
def _folder(url: str) -> _Folder:
    """Opened once a process."""
    info = _read_info(url)
    if info.get("@type") != "neuroglancer_skeletons":
        msg = f"{url}/info has @type {info.get('@type')!r}; neuroglancer_skeletons is needed"
        raise SkeletonError(msg)
    try:
        transform = np.array(info.get("transform", np.eye(3, 4).tolist()), dtype=np.float64).reshape(3, 4)
        attributes = tuple(
            (str(a["id"]), np.dtype(a["data_type"]).newbyteorder("<"), int(a["num_components"]))
            for a in info.get("vertex_attributes") or ()
        )
        sharded = PrecomputedSkeletonSource.from_cloudpath(url) if info.get("sharding") else None
    except (ValueError, TypeError, KeyError) as error:
        msg = f"{url}/info cannot be used: {type(error).__name__} {error}"
        raise SkeletonError(msg) from error
    if not np.isfinite(transform).all() or np.linalg.det(transform[:, :3]) == 0:
        msg = f"the transform in {url}/info flattens space: {transform.tolist()}"
        raise SkeletonError(msg)
    return _Folder(transform, attributes, CloudFiles(url), sharded)


@dataclass(frozen=True)
class PrecomputedSkeletons:
    """A folder of skeletons; it is opened where it is used, once a process."""

    url: str
    folder: str
    unit: Unit

    def segment_ids(self) -> NDArray[np.uint64]:
        """Ids of all files, or of all entries of all shards, sorted.

        Raises:
            CorruptDataError: a shard's index is torn.
        """
        folder = _folder(self.folder)
        names = [name.rsplit("/", 1)[-1] for name in folder.files.list(flat=True)]
        if folder.sharded is None:
            ids = [int(name) for name in names if is_segment_id(name)]
            return np.unique(np.array(ids, dtype=np.uint64))
        reader, path = folder.sharded.reader, folder.sharded.path
        with self._decoding():
            shards = [
                np.asarray(reader.list_labels(name, path=path), dtype=np.uint64)
                for name in names
                if name.endswith(".shard")
            ]
        return np.unique(np.concatenate([np.zeros(0, dtype=np.uint64), *shards]))

    def read(self, segment_ids: NDArray[np.uint64]) -> SkeletonBatch:
        """Skeletons of the segments that have an entry.

        Raises:
            CorruptDataError: an entry is torn, or access to it is refused.
            SkeletonError: the edges of an entry make a cycle.
        """
        ids = np.asarray(segment_ids, dtype=np.uint64).tolist()
        folder = _folder(self.folder)
        with self._decoding():
            if folder.sharded is None:
                contents = folder.files.get([str(i) for i in ids], return_dict=True) if ids else {}
                entries = {i: contents.get(str(i)) for i in ids}
            else:
                entries = folder.sharded.reader.get_data(ids, folder.sharded.path, progress=False)
        stored = [(i, content) for i in ids if (content := entries[i]) is not None]
        absent = [i for i in ids if entries[i] is None]
        name = str if folder.sharded is None else folder.sharded.reader.get_filename
        _check_access(f"{self.folder}/{name(i)}" for i in absent)
        found = [self._skeleton(i, content, folder) for i, content in stored]
        return SkeletonBatch(tuple(found), np.array(absent, dtype=np.uint64))

    @contextmanager
    def _decoding(self) -> Iterator[None]:
        try:
            yield
        except _UNDECODABLE as error:
            msg = f"a file of {self.folder} cannot be decoded: {type(error).__name__} {error}"
            raise CorruptDataError(msg) from error

    def _skeleton(self, segment_id: int, content: bytes, folder: _Folder) -> Skeleton:
        try:
            points, edges, radii = decode(content, folder.attributes)
        except ValueError as error:
            msg = f"the skeleton of segment {segment_id} in {self.folder} is damaged: {error}"
            raise CorruptDataError(msg) from error
        matrix, shift = folder.transform[:, :3], folder.transform[:, 3]
        stretch = np.cbrt(abs(np.linalg.det(matrix)))
        return Skeleton.from_edges(
            segment_id,
            points_nm=self.unit.points_nm(points.astype(np.float64) @ matrix.T + shift),
            edges=edges,
            radii_nm=self.unit.radii_nm(radii * stretch),
        )


def decode(
    content: bytes, attributes: tuple[tuple[str, np.dtype[Any], int], ...]
) -> tuple[NDArray[np.float32], NDArray[np.uint32], NDArray[np.float64]]:
    """Vertices [n, 3], edges [m, 2] and radii [n] of one entry, as stored; NaN radii where it has none.

        uint32 n, uint32 m, float32 [n, 3], uint32 [m, 2], then each attribute for all vertices

    Raises:
        ValueError: the length is not what the numbers of vertices and edges ask for.
    """
    if len(content) < 8:
        msg = f"{len(content)} bytes are fewer than its two counts take"
        raise ValueError(msg)
    n, m = (int(v) for v in np.frombuffer(content, "<u4", 2))
    begin = 8 + 12 * n + 8 * m
    end = begin + sum(n * kind.itemsize * width for _, kind, width in attributes)
    if len(content) not in (begin, end):  # old writers leave out the attributes they name
        msg = f"{n} vertices and {m} edges take {end} bytes, it has {len(content)}"
        raise ValueError(msg)
    points = np.frombuffer(content, "<f4", 3 * n, offset=8).reshape(n, 3)
    edges = np.frombuffer(content, "<u4", 2 * m, offset=8 + 12 * n).reshape(m, 2)
    radii = np.full(n, np.nan)
    for name, kind, width in attributes if len(content) == end else ():
        if name == "radius" and width == 1:
            radii = np.frombuffer(content, kind, n, offset=begin).astype(np.float64)
        begin += n * kind.itemsize * width
    return points, edges, radii


def _check_access(urls: Iterable[str]) -> None:
    """Refuse to call a file absent that the server forbids: cloud-files takes HTTP 403 for absent."""
    for url in sorted(set(urls)):
        if url.startswith("http") and requests.head(url, timeout=60).status_code in (401, 403):
            msg = f"access to {url} is refused, so whether it exists is unknown"
            raise CorruptDataError(msg)
