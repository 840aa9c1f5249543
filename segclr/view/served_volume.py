"""A volume as Neuroglancer's client in a browser reads it, whatever format it is stored in."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Literal

from segclr.data.volume import Volume
from segclr.geometry import BoundingBox, Triple

__all__ = ["ServedVolume"]

_MOST_VOXELS = 2**20
"""In a chunk as it is served: 8 MB of ids. A stored chunk may be much larger."""

_CHUNK = re.compile(r"(\d+)/(-?\d+)-(-?\d+)_(-?\d+)-(-?\d+)_(-?\d+)-(-?\d+)")


@dataclass(frozen=True)
class ServedVolume:
    """Scales of one volume in the precomputed format, chunks uncompressed; nothing is written.

    What is shown is what is read: by the project's own readers, so placed, reduced and made grey as the
    cubes are. Only chunks of these volumes can be asked for.

    Attributes:
        scales: the volume at one or more voxel sizes, finest first.
        kind: what its values are.
    """

    scales: tuple[Volume, ...]
    kind: Literal["image", "segmentation"]

    def content(self, path: str) -> bytes | None:
        """What lies at a path below the volume: ``info``, or a chunk by scale and box.

        Raises:
            SegclrError: a chunk that is there cannot be read.
        """
        if path == "info":
            return json.dumps(self._info()).encode()
        asked = _CHUNK.fullmatch(path)
        if asked is None or int(asked[1]) >= len(self.scales):
            return None
        x0, x1, y0, y1, z0, z1 = (int(v) for v in asked.groups()[1:])
        volume, box = self.scales[int(asked[1])], BoundingBox((x0, y0, z0), (x1, y1, z1))
        if box != _chunk_from(box.start, volume):
            return None
        return volume.read(box).astype(volume.dtype.newbyteorder("<"), copy=False).tobytes()

    def _info(self) -> dict[str, object]:
        scales = [
            {
                "key": str(index),
                "size": volume.bounds.size,
                "resolution": volume.voxel_size_nm,
                "voxel_offset": volume.bounds.start,
                "chunk_sizes": [_chunk_size(volume)],
                "encoding": "raw",
            }
            for index, volume in enumerate(self.scales)
        ]
        return {
            "@type": "neuroglancer_multiscale_volume",
            "type": self.kind,
            "data_type": self.scales[0].dtype.name,
            "num_channels": 1,
            "scales": scales,
        }


def _chunk_size(volume: Volume) -> Triple:
    """The stored chunk, its longest edge halved until it is small enough."""
    edges = list(volume.chunk_size_vx)
    while math.prod(edges) > _MOST_VOXELS:
        longest = edges.index(max(edges))
        edges[longest] = -(-edges[longest] // 2)
    x, y, z = edges
    return (x, y, z)


def _chunk_from(start: Triple, volume: Volume) -> BoundingBox | None:
    """The chunk that begins at a voxel, if one does."""
    edges, bounds = _chunk_size(volume), volume.bounds
    if not bounds.contains(start)[0] or any(
        (a - origin) % edge for a, origin, edge in zip(start, bounds.start, edges, strict=True)
    ):
        return None
    stop = tuple(a + edge for a, edge in zip(start, edges, strict=True))
    return BoundingBox(start, stop).intersect(bounds)  # type: ignore[arg-type]
