"""Skeletons as a folder of SWC files, ``<segment id>.swc``.

A line is ``node type x y z radius parent``; ``#`` begins a comment; parent -1 marks a root. Source of the
format: Cannon et al., J. Neurosci. Methods 1998, 10.1016/S0165-0270(98)00091-0. The type column (soma,
axon, dendrite ...) is checked to be there and not kept: a ``Skeleton`` has no place for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segclr import files
from segclr.data.skeleton import Skeleton
from segclr.data.skeleton_sources.source import SkeletonBatch, Unit, is_segment_id
from segclr.errors import MissingDataError, SkeletonError

__all__ = ["SwcSkeletons", "open_source", "parse_swc"]


def open_source(path: str, unit: Unit) -> SwcSkeletons:
    """A folder of SWC files.

    Raises:
        MissingDataError: there is no such folder.
    """
    if not files.exists(path):
        msg = f"no folder of SWC files at {path}"
        raise MissingDataError(msg)
    return SwcSkeletons(path, unit)


@dataclass(frozen=True)
class SwcSkeletons:
    """A folder of SWC files."""

    folder: str
    unit: Unit

    @property
    def url(self) -> str:
        """As given to ``open_skeletons``."""
        return f"swc://{self.folder}"

    def segment_ids(self) -> NDArray[np.uint64]:
        """The ids that the files are named by, sorted.

        Raises:
            SkeletonError: a file's name is not a segment id.
        """
        names = [u.rsplit("/", 1)[1].removesuffix(".swc") for u in files.glob(self.folder, "*.swc")]
        wrong = [name for name in names if not is_segment_id(name)]
        if wrong:
            msg = (
                f"{len(wrong)} of {len(names)} SWC files of {self.folder} are not named by a segment id, "
                f"such as {wrong[0]}.swc; allowed are 1 to 2**64 - 1, without leading zeros"
            )
            raise SkeletonError(msg)
        return np.sort(np.array([int(name) for name in names], dtype=np.uint64))

    def read(self, segment_ids: NDArray[np.uint64]) -> SkeletonBatch:
        """Skeletons of the segments that have a file.

        Raises:
            SkeletonError: a file is malformed; the message names the file, the line and what is wrong.
        """
        found, absent = [], []
        for segment_id in np.asarray(segment_ids, dtype=np.uint64).tolist():
            url = files.join(self.folder, f"{segment_id}.swc")
            try:
                content = files.read_bytes(url)
            except MissingDataError:
                absent.append(segment_id)
                continue
            found.append(parse_swc(content, segment_id, unit=self.unit, name=url))
        return SkeletonBatch(tuple(found), np.array(absent, dtype=np.uint64))


def parse_swc(content: bytes, segment_id: int, *, unit: Unit, name: str) -> Skeleton:
    """The skeleton in an SWC file; nodes may be numbered in any way and stand in any order.

    Args:
        content: the file's.
        segment_id: of the skeleton.
        unit: of its coordinates and radii; a radius of 0 or less is unknown (NaN).
        name: of the file, for messages.

    Raises:
        SkeletonError: a line is malformed, a node comes twice, a parent does not exist, the parents make a
            cycle, or there is no node.
    """
    try:
        lines = content.decode().removeprefix("\ufeff").splitlines()
    except UnicodeDecodeError as error:
        msg = f"{name} is not text: {error}"
        raise SkeletonError(msg) from error
    nodes: list[int] = []
    above: list[int] = []
    values: list[tuple[float, ...]] = []
    line_of: dict[int, int] = {}
    for number, line in enumerate(lines, start=1):
        fields = line.partition("#")[0].split()
        if not fields:
            continue
        node, parent, place = _parse_line(fields, where=f"{name}, line {number}")
        if node in line_of:
            msg = f"{name}, line {number}: node {node} stands in line {line_of[node]} already"
            raise SkeletonError(msg)
        line_of[node] = number
        nodes.append(node)
        above.append(parent)
        values.append(place)
    if not nodes:
        msg = f"{name} is empty: it holds no node"
        raise SkeletonError(msg)
    row = {node: i for i, node in enumerate(nodes)}
    for node, parent in zip(nodes, above, strict=True):
        if parent != -1 and parent not in row:
            msg = f"{name}, line {line_of[node]}: the parent {parent} of node {node} is not in the file"
            raise SkeletonError(msg)
    parents = [-1 if parent == -1 else row[parent] for parent in above]
    table = np.array(values, dtype=np.float64)
    try:
        return Skeleton(
            segment_id,
            unit.points_nm(table[:, :3]).astype(np.float32),
            np.array(parents, dtype=np.int32),
            unit.radii_nm(table[:, 3]).astype(np.float32),
        )
    except SkeletonError as error:
        msg = f"{name}: {error} (vertices are counted from 0, in the order of the file)"
        raise SkeletonError(msg) from error


def _parse_line(fields: list[str], *, where: str) -> tuple[int, int, tuple[float, ...]]:
    """Node, parent, and x, y, z, radius."""
    if len(fields) != 7:
        msg = f"{where}: {len(fields)} columns; seven are needed: node type x y z radius parent"
        raise SkeletonError(msg)
    try:
        node, parent = int(fields[0]), int(fields[6])
        int(fields[1])
        place = tuple(float(v) for v in fields[2:6])
    except ValueError as error:
        msg = f"{where}: {error}; node, type and parent must be whole numbers, x y z radius numbers"
        raise SkeletonError(msg) from error
    if node < 0 or parent < -1:
        msg = f"{where}: node {node} with parent {parent}; nodes are numbered from 0, and -1 marks a root"
        raise SkeletonError(msg)
    return node, parent, place
