"""Nodes as annotations that Neuroglancer's client reads piece by piece: its precomputed format, in memory.

Format: neuroglancer, ``src/datasource/precomputed/annotations.md``. A spatial index of several levels lets
the client fetch what it looks at: each level holds a random share of what the coarser ones left, such that a
cell of its grid holds about a limit. Zoomed out, the client then draws a share of the points.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segclr.view.points import NodePoints

__all__ = ["ALL_DRAWN", "ServedPoints"]

ALL_DRAWN = 100_000
"""So many points lie in one cell and are always all drawn: the client thins out beyond one a pixel."""

_CELL_LIMIT = 10_000

_MOST_LEVELS = 12
_ID = re.compile(r"\d{1,20}")


@dataclass(frozen=True)
class _Level:
    """One grid of the spatial index.

    Attributes:
        cells: number of cells along each axis.
        rows: points of each cell that is not empty, by (x, y, z) of the cell.
        limit: most points in a cell.
    """

    cells: int
    rows: Mapping[tuple[int, int, int], NDArray[np.int64]]
    limit: int


@dataclass(frozen=True)
class ServedPoints:
    """Points with their colours' values, indexed by place, by segment and by number.

    Attributes:
        points: what is served; a point's id is its row.
    """

    points: NodePoints

    def content(self, path: str) -> bytes | None:
        """What lies at a path below the layer: ``info``, ``by_id/7``, ``segment/<id>``, ``0/x_y_z``."""
        if path == "info":
            return json.dumps(self._info()).encode()
        folder, _, name = path.partition("/")
        if folder == "by_id":
            return self._one(name)
        if folder == "segment":
            return self._of_segment(name)
        if not (_ID.fullmatch(folder) and int(folder) < len(self._levels)):
            return None
        cell = name.split("_")
        if len(cell) != 3 or not all(_ID.fullmatch(part) for part in cell):
            return None
        x, y, z = (int(part) for part in cell)
        level = self._levels[int(folder)]
        if max(x, y, z) >= level.cells:
            return None
        return self._several(level.rows.get((x, y, z), np.zeros(0, dtype=np.int64)))

    def _one(self, name: str) -> bytes | None:
        if not (_ID.fullmatch(name) and int(name) < len(self.points)):
            return None
        row = int(name)
        segment = self.points.segment_ids[row : row + 1].astype("<u8").tobytes()
        return self._records[row].tobytes() + np.uint32(1).astype("<u4").tobytes() + segment

    def _of_segment(self, name: str) -> bytes | None:
        if not (_ID.fullmatch(name) and 0 < int(name) < 2**64):
            return None
        order, ids = self._by_segment
        first, last = (np.searchsorted(ids, np.uint64(int(name)), side) for side in ("left", "right"))
        return self._several(order[first:last])

    def _several(self, rows: NDArray[np.int64]) -> bytes:
        count = np.uint64(len(rows)).astype("<u8").tobytes()
        return count + self._records[rows].tobytes() + rows.astype("<u8").tobytes()

    @functools.cached_property
    def _records(self) -> NDArray[np.void]:
        """Points as the format lays them out: place, properties (the widest first), filled up to 4 bytes."""
        fields = [(p.name, p.values.dtype.newbyteorder("<")) for p in self.points.properties]
        n_bytes = sum(kind.itemsize for _, kind in fields)
        filling = [("", np.dtype(("V", -n_bytes % 4)))] if n_bytes % 4 else []
        records = np.zeros(len(self.points), dtype=[("place", "<f4", 3), *fields, *filling])
        records["place"] = self.points.points_nm
        for p in self.points.properties:
            records[p.name] = p.values
        return records

    @functools.cached_property
    def _by_segment(self) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Rows by segment, and the segment of each."""
        order = np.argsort(self.points.segment_ids, kind="stable")
        return order, self.points.segment_ids[order]

    @functools.cached_property
    def _box(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """First corner and edge lengths in nm; a little more than the points, so that none lies on a face."""
        places = self.points.points_nm.astype(np.float64)
        first = np.floor(places.min(axis=0))
        return first, np.floor(places.max(axis=0)) + 1 - first

    @functools.cached_property
    def _levels(self) -> list[_Level]:
        first, size = self._box
        share = (self.points.points_nm.astype(np.float64) - first) / size
        most = max(_CELL_LIMIT, len(share) if len(share) <= ALL_DRAWN else 0)
        left = np.random.default_rng(0).permutation(len(self.points))
        levels: list[_Level] = []
        while len(left):
            cells = 2 ** len(levels)
            place = np.minimum((share[left] * cells).astype(np.int64), cells - 1)
            number = np.ravel_multi_index(tuple(place.T), (cells, cells, cells))
            largest = int(np.bincount(np.unique(number, return_inverse=True)[1]).max())
            last = largest <= most or len(levels) + 1 == _MOST_LEVELS
            n_taken = len(left) if last else int(len(left) * most / largest)
            taken = np.zeros(len(left), dtype=bool)
            taken[:n_taken] = True
            levels.append(_level(cells, left[taken], place[taken]))
            left = left[~taken]
        return levels

    def _info(self) -> dict[str, object]:
        first, size = self._box
        return {
            "@type": "neuroglancer_annotations_v1",
            "dimensions": {axis: [1e-9, "m"] for axis in "xyz"},
            "lower_bound": first.tolist(),
            "upper_bound": (first + size).tolist(),
            "annotation_type": "POINT",
            "properties": [p.spec() for p in self.points.properties],
            "relationships": [{"id": "segment", "key": "segment"}],
            "by_id": {"key": "by_id"},
            "spatial": [
                {
                    "key": str(index),
                    "grid_shape": [level.cells] * 3,
                    "chunk_size": (size / level.cells).tolist(),
                    "limit": level.limit,
                }
                for index, level in enumerate(self._levels)
            ],
        }


def _level(cells: int, rows: NDArray[np.int64], place: NDArray[np.int64]) -> _Level:
    """The points of a level, by cell; within one in mixed order, so that a first share is a fair one."""
    order = np.lexsort(place.T[::-1])
    ordered = place[order]
    starts = np.flatnonzero(np.r_[True, (ordered[1:] != ordered[:-1]).any(axis=1)])
    parts = np.split(rows[order], starts[1:])
    names = [(x, y, z) for x, y, z in ordered[starts].tolist()]
    return _Level(cells, dict(zip(names, parts, strict=True)), max(len(part) for part in parts))
