"""Neuroglancer precomputed volumes: tensorstore's key-value stores fetch, cloud-volume's codecs decode.

That is as fast as either library alone or faster (docs/volumes.md), and unlike them it tells absent from
refused, ends in time, and reads what cloud-volume writes to local files (``.gz``, ``.br``, ``.zstd``). The
format: neuroglancer, src/datasource/precomputed/{volume,sharded}.md.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import brotli  # type: ignore[import-untyped]
import deflate
import numpy as np
import zstandard
from cloudvolume import chunks
from numpy.typing import NDArray

from segclr import files
from segclr.data.access import Access
from segclr.data.bytestore import ByteStore, Deadline, absolute, forget_handles
from segclr.data.compressed_segmentation import check_compressed_segmentation
from segclr.data.compresso import check_compresso
from segclr.data.crackle import check_crackle
from segclr.data.missing import MissingChunks
from segclr.data.precomputed_info import first_chunk_size, n_channels, resolution, triple
from segclr.errors import ConfigError, CorruptDataError, MissingDataError, VolumeError
from segclr.geometry import BoundingBox, Triple, VoxelSize

__all__ = ["PrecomputedScale", "PrecomputedSource", "scales", "scales_of_info"]

_TYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32")
_CODECS = {
    "raw": "raw",
    "jpeg": "jpeg",
    "compressed_segmentation": "compressed_segmentation",
    "compresso": "compresso",
    "crackle": "crackle",
    "png": "png",
    "jxl": "jxl",
    "fpzip": "fpzip",
    "kempressed": "fpzip",
    "zfpc": "zfpc",
}
"""Encodings that are read, and cloud-volume's name of the codec each needs."""

_CHECKS = {"compresso": check_compresso, "crackle": check_crackle}
"""What is looked at before a chunk is decoded, because its codec does not."""


class _UndecodableError(ValueError):
    """A chunk is torn or altered: the codecs raise what they like, and their errors share no base."""


def _zstd(content: bytes) -> bytes:
    """Content of a whole frame, whose size need not stand in it."""
    decompressor = zstandard.ZstdDecompressor().decompressobj()
    data: bytes = decompressor.decompress(content)
    if not decompressor.eof:
        msg = "its zstd frame is cut off"
        raise ValueError(msg)
    return data


_SUFFIXES: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": lambda content: bytes(deflate.gzip_decompress(content)),
    ".br": brotli.decompress,
    ".zstd": _zstd,
}
"""How cloud-volume names compressed chunks in local folders; servers say it in Content-Encoding instead."""


@dataclass(frozen=True)
class PrecomputedScale:
    """One scale as the info file describes it.

    Attributes:
        url: of the volume, as given to ``open_volume``.
        folder: URL of the scale's chunks.
        voxel_size_nm: (x, y, z).
        bounds: voxel offset and size.
        chunk_size_vx: (x, y, z), the first of those offered.
        dtype: of the values.
        encoding: of a chunk.
        n_channels: channels in each chunk.
        sharding: JSON of the sharding, None for a file a chunk.
        block_size_vx: of ``compressed_segmentation``.
        access: how it is reached.
    """

    url: str
    folder: str
    voxel_size_nm: VoxelSize
    bounds: BoundingBox
    chunk_size_vx: Triple
    dtype: np.dtype[Any]
    encoding: str
    n_channels: int
    sharding: str | None
    block_size_vx: Triple | None
    access: Access

    def open(self, missing: MissingChunks) -> PrecomputedSource:
        """The scale as a source of voxels; missing chunks are noted there.

        Raises:
            VolumeError: its encoding is not known, or a channel must be chosen.
            ConfigError: its codec is not installed.
        """
        self._check_encoding()
        channel = self.access.chosen("channel", self.n_channels, url=self.url)
        return PrecomputedSource(self, missing, channel)

    def _check_encoding(self) -> None:
        if self.encoding not in _CODECS:
            msg = f"{self.folder} has the encoding {self.encoding!r}; allowed are {', '.join(_CODECS)}"
            raise VolumeError(msg)
        codec = _CODECS[self.encoding]
        if codec in chunks.NEEDS_INSTALL:
            msg = (
                f"{self.folder} has the encoding {self.encoding!r}, whose codec is not installed: "
                f"pip install {chunks.NEEDS_INSTALL[codec]}"
            )
            raise ConfigError(msg)
        if codec == "compressed_segmentation":
            if self.block_size_vx is None:
                msg = f"the info file of {self.url} gives no compressed_segmentation_block_size"
                raise VolumeError(msg)
            if self.dtype not in (np.uint32, np.uint64):
                msg = f"{self.url} is {self.encoding} of {self.dtype}; allowed are uint32 and uint64"
                raise VolumeError(msg)


def scales(path: str, access: Access) -> list[PrecomputedScale]:
    """The stored scales, finest first.

    Raises:
        MissingDataError: there is no info file.
        VolumeError: it cannot be used.
    """
    forget_handles()
    folder = absolute(path)
    try:
        info = ByteStore(folder, access.anonymous).read_json("info", Deadline(access.timeout_s))
    except CorruptDataError as error:
        msg = f"the info file of {folder} cannot be used: {error}"
        raise VolumeError(msg) from error
    if info is None:
        msg = f"no precomputed volume at {folder}: there is no info file"
        raise MissingDataError(msg)
    return scales_of_info(info, folder, url=f"precomputed://{path}", access=access)


def scales_of_info(info: dict[str, Any], folder: str, *, url: str, access: Access) -> list[PrecomputedScale]:
    """The scales of an info file's content.

    Raises:
        VolumeError: it does not describe a volume.
    """
    try:
        kind = info.get("@type", "neuroglancer_multiscale_volume")
        if kind != "neuroglancer_multiscale_volume":
            msg = f"it describes {kind}, not a volume"
            raise ValueError(msg)
        if str(info["data_type"]).lower() not in _TYPES:
            msg = f"data_type {info['data_type']!r} is not one of {', '.join(_TYPES)}"
            raise ValueError(msg)
        entries = info["scales"]
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            msg = f"scales must be a list of objects, got {entries!r:.80}"
            raise ValueError(msg)
        if not entries:
            msg = "it lists no scales"
            raise ValueError(msg)
        found = [_scale(entry, info, folder, url=url, access=access) for entry in entries]
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        detail = f"{error} is not given" if isinstance(error, KeyError) else error
        msg = f"the info file of {folder} cannot be used: {detail}"
        raise VolumeError(msg) from error
    return found


def _scale(
    entry: dict[str, Any], info: dict[str, Any], folder: str, *, url: str, access: Access
) -> PrecomputedScale:
    size = triple(entry["size"], "size")
    x, y, z = triple(entry.get("voxel_offset", (0, 0, 0)), "voxel_offset")
    block = entry.get("compressed_segmentation_block_size")
    sharding = entry.get("sharding")
    return PrecomputedScale(
        url=url,
        folder=files.join(folder, entry["key"]),
        voxel_size_nm=resolution(entry["resolution"]),
        bounds=BoundingBox((x, y, z), (x + size[0], y + size[1], z + size[2])),
        chunk_size_vx=first_chunk_size(entry),
        dtype=np.dtype(info["data_type"].lower()),
        encoding=str(entry["encoding"]),
        n_channels=n_channels(info),
        sharding=None if sharding is None else json.dumps(sharding, sort_keys=True),
        block_size_vx=None if block is None else triple(block, "compressed_segmentation_block_size"),
        access=access,
    )


def compressed_morton_code(place: Triple, grid: Triple) -> int:
    """Number of a chunk in a sharded volume: the bits of x, y and z in turn, but none that is always 0.

    Args:
        place: of the chunk in the grid, (x, y, z).
        grid: number of chunks along each axis.

    >>> [compressed_morton_code(p, (4, 2, 1)) for p in [(1, 0, 0), (0, 1, 0), (2, 0, 0), (3, 1, 0)]]
    [1, 2, 4, 7]
    """
    code, position = 0, 0
    for bit in range(max(grid).bit_length()):
        for value, size in zip(place, grid, strict=True):
            if 1 << bit < size:
                code |= (value >> bit & 1) << position
                position += 1
    return code


@dataclass(frozen=True)
class PrecomputedSource:
    """One channel of a scale; handles are opened where they are used, once a process."""

    scale: PrecomputedScale
    missing: MissingChunks
    channel: int = 0

    @property
    def url(self) -> str:
        """As given to ``open_volume``."""
        return self.scale.url

    @property
    def voxel_size_nm(self) -> VoxelSize:
        """Resolution of the scale."""
        return self.scale.voxel_size_nm

    @property
    def bounds(self) -> BoundingBox:
        """Voxel offset and size of the scale."""
        return self.scale.bounds

    @property
    def chunk_size_vx(self) -> Triple:
        """First chunk size of the scale."""
        return self.scale.chunk_size_vx

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type in the info file."""
        return self.scale.dtype

    def read_inside(self, box: BoundingBox) -> NDArray[Any]:
        """Fetch and decode the chunks of a box.

        Raises:
            VolumeError: a chunk is missing, and that is an error by the volume's policy.
            CorruptDataError: a chunk cannot be decoded, also when it is fetched again.
            AccessDeniedError: the store refuses a chunk.
            ReadTimeoutError: the read did not end in time.
            UnreachableError: the store does not answer, after retries.
        """
        deadline = Deadline(self.scale.access.timeout_s)
        values = np.empty(box.shape_zyx, dtype=self.dtype)
        places = list(self._places(box))
        for place, content in zip(places, self._fetch(places, deadline), strict=True):
            chunk_box = self._box(place)
            part = chunk_box.intersect(box)
            target = part.slices_zyx(box.start)
            if content is None:
                self.missing.note(self.url, _name(chunk_box))
                values[target] = 0
            else:
                chunk = self._decode(content, place, chunk_box, deadline)
                values[target] = chunk[part.slices_zyx(chunk_box.start)]
        return values

    def _places(self, box: BoundingBox) -> Iterator[Triple]:
        """Grid places (x, y, z) of the chunks that a box touches, x fastest."""
        ranges = [
            range((a - origin) // size, -((origin - b) // size))
            for a, b, origin, size in zip(
                box.start, box.stop, self.bounds.start, self.chunk_size_vx, strict=True
            )
        ]
        for z, y, x in itertools.product(ranges[2], ranges[1], ranges[0]):
            yield (x, y, z)

    def _box(self, place: Triple) -> BoundingBox:
        start = [o + p * s for o, p, s in zip(self.bounds.start, place, self.chunk_size_vx, strict=True)]
        stop = [a + s for a, s in zip(start, self.chunk_size_vx, strict=True)]
        return BoundingBox(start, stop).intersect(self.bounds)  # type: ignore[arg-type]

    def _fetch(self, places: Sequence[Triple], deadline: Deadline) -> Iterator[tuple[str, bytes] | None]:
        """Suffix and content of some chunks, in order; None where a chunk is absent."""
        scale = self.scale
        store = ByteStore(scale.folder, scale.access.anonymous, scale.sharding)
        if scale.sharding is not None:
            x, y, z = (-(-n // s) for n, s in zip(self.bounds.size, self.chunk_size_vx, strict=True))
            keys: list[Any] = [compressed_morton_code(p, (x, y, z)).to_bytes(8, "big") for p in places]
        else:
            keys = [_name(self._box(p)) for p in places]
            if files.is_local(scale.folder):
                yield from _fetch_local(store, keys, deadline)
                return
        for content in store.read_each(keys, deadline):
            yield None if content is None else ("", content)

    def _decode(
        self, content: tuple[str, bytes], place: Triple, box: BoundingBox, deadline: Deadline
    ) -> NDArray[Any]:
        """A chunk [z, y, x]; one that cannot be decoded is fetched once more."""
        try:
            return self._decode_once(content, box)
        except _UndecodableError:
            again = next(self._fetch([place], deadline))
        try:
            if again is None:
                msg = "it is there and then it is not"
                raise _UndecodableError(msg)
            return self._decode_once(again, box)
        except _UndecodableError as error:
            msg = f"{self.url}: chunk {_name(box)} cannot be decoded: {error}"
            raise CorruptDataError(msg) from error

    def _decode_once(self, content: tuple[str, bytes], box: BoundingBox) -> NDArray[Any]:
        try:
            return self._decoded(content, box)
        except Exception as error:
            told = str(error).strip().split("\n", 1)[0]
            plain = isinstance(error, ValueError) and told
            raise _UndecodableError(told if plain else f"{type(error).__name__}: {told}") from error

    def _decoded(self, content: tuple[str, bytes], box: BoundingBox) -> NDArray[Any]:
        suffix, packed = content
        data = _SUFFIXES[suffix](packed)
        scale, shape = self.scale, (*box.size, self.scale.n_channels)
        if not data:
            msg = "it is empty"
            raise ValueError(msg)
        if scale.encoding == "raw":
            raw = np.frombuffer(data, dtype=self.dtype.newbyteorder("<"))
            return raw.reshape(shape[::-1])[self.channel].astype(self.dtype, copy=False)
        if scale.encoding == "compressed_segmentation" and scale.block_size_vx is not None:
            check_compressed_segmentation(data, shape, scale.block_size_vx, self.dtype)
        elif scale.encoding in _CHECKS:
            _CHECKS[scale.encoding](data, shape)
        values = chunks.decode(
            data, scale.encoding, shape=shape, dtype=self.dtype, block_size=scale.block_size_vx
        )
        if values.dtype != self.dtype:
            msg = f"it holds {values.dtype}, the info file says {self.dtype}: ids would be lost"
            raise ValueError(msg)
        if values.shape != shape:
            msg = f"it holds {values.shape} voxels (x, y, z, channel), {shape} are needed"
            raise ValueError(msg)
        return values[..., self.channel].T


def _fetch_local(
    store: ByteStore, names: Sequence[str], deadline: Deadline
) -> Iterator[tuple[str, bytes] | None]:
    """Suffix and content of each chunk file; one writer gives all the same suffix, so that is tried first."""

    def search(name: str, suffixes: Sequence[str]) -> tuple[str, bytes] | None:
        contents = ((suffix, store.read(name + suffix, deadline)) for suffix in suffixes)
        return next(((suffix, content) for suffix, content in contents if content is not None), None)

    first = search(names[0], list(_SUFFIXES))
    yield first
    suffix = first[0] if first else ""
    others = [s for s in _SUFFIXES if s != suffix]
    contents = store.read_each([name + suffix for name in names[1:]], deadline)
    for name, content in zip(names[1:], contents, strict=True):
        yield search(name, others) if content is None else (suffix, content)


def _name(box: BoundingBox) -> str:
    return "_".join(f"{a}-{b}" for a, b in zip(box.start, box.stop, strict=True))
