"""A run's skeletons as Neuroglancer's client reads them, from the tables of vertices."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

import numpy as np

from pipelines.run import Run
from segclr import files
from segclr.data.nodes import NodeTable
from segclr.data.skeleton import Skeleton
from segclr.data.skeleton_precomputed import encode_skeleton, info_bytes
from segclr.store.parquet import read_columns

__all__ = ["ServedSkeletons", "skeletons_url"]

_ID = re.compile(r"[1-9]\d{0,19}")


@dataclass(frozen=True)
class ServedSkeletons:
    """Skeletons, one asked for at a time.

    Attributes:
        tables: URLs of the tables of vertices.
    """

    tables: tuple[str, ...]

    @staticmethod
    def of_run(run: Run) -> ServedSkeletons | None:
        """Those of a run, if it has made or read any."""
        tables = files.glob(run.skeletons_folder, "*.parquet")
        return ServedSkeletons(tuple(tables)) if tables else None

    def content(self, path: str) -> bytes | None:
        """``info``, or a skeleton by its segment's id.

        Raises:
            CorruptDataError: a table is damaged.
        """
        if path == "info":
            return info_bytes(None)
        if not _ID.fullmatch(path) or (url := self._places.get(int(path))) is None:
            return None
        table = _read(url)
        wanted = np.uint64(int(path))
        first, last = (np.searchsorted(table.segment_ids, wanted, side) for side in ("left", "right"))
        own = table.take(np.arange(first, last))
        return encode_skeleton(Skeleton(int(path), own.points_nm, own.parents, own.radii_nm))

    @functools.cached_property
    def _places(self) -> dict[int, str]:
        """Table of each segment."""
        return {
            segment_id: url
            for url in self.tables
            for segment_id in np.unique(read_columns(url, ["segment_id"])["segment_id"]).tolist()
        }


@functools.lru_cache(maxsize=4)
def _read(url: str) -> NodeTable:
    return NodeTable.concatenate([NodeTable.from_columns(read_columns(url))])


def skeletons_url(run: Run) -> str | None:
    """Where any client finds the run's skeletons in a format it knows, if anywhere."""
    config = run.config.skeletons
    if config.url is not None and config.url.startswith("precomputed://") and config.unit_nm == 1.0:
        return config.url
    folder = run.path("skeletons/precomputed")
    if not files.exists(files.join(folder, "info")):
        return None
    return f"precomputed://{f'file://{folder}' if files.is_local(folder) else folder}"
