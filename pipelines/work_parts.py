"""Parts of the stages that read the volume around nodes: blocks of work, some together and some in pieces.

Parts come in the order of Hilbert's curve. Eight blocks that form a box go together where a run has many,
since a part reads each chunk once: around one block of 512, cubes of 129 need 1.95 times its voxels, around
eight 1.42 times. A block with more nodes than a part may have is divided along z.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from pipelines.node_blocks import block_counts, block_nodes
from pipelines.run import Run
from segclr.data.block_grid import LEAST_TOGETHER
from segclr.data.curve import OCTET_BITS
from segclr.data.nodes import NodeTable

__all__ = ["WorkPart", "part_nodes", "plan_parts", "work_parts"]


@dataclass(frozen=True)
class WorkPart:
    """Blocks by their places along the curve, or a piece of one block.

    Attributes:
        blocks: places, ascending, all of them with nodes.
        rows: first row and row behind the last, of a single block; None: all rows.
    """

    blocks: tuple[int, ...]
    rows: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """Tells all of the part, so that a worker needs no list of them.

        >>> WorkPart((8, 9, 15)).name, WorkPart((3,)).name, WorkPart((3,), (0, 500)).name
        ('block-00000008+1+7', 'block-00000003', 'block-00000003-rows-00000000-00000500')
        """
        first = self.blocks[0]
        name = f"block-{first:08d}" + "".join(f"+{b - first}" for b in self.blocks[1:])
        return name if self.rows is None else f"{name}-rows-{self.rows[0]:08d}-{self.rows[1]:08d}"

    @classmethod
    def from_name(cls, name: str) -> Self:
        """The part of a name.

        Raises:
            ValueError: it is no part's name.
        """
        found = re.fullmatch(r"block-(\d+)((?:\+\d+)*)(?:-rows-(\d+)-(\d+))?", name)
        if found is None:
            msg = f"{name!r} is no part's name, such as block-00000008+1+7"
            raise ValueError(msg)
        first, more, low, high = found.groups()
        blocks = (int(first), *(int(first) + int(n) for n in more.split("+")[1:]))
        return cls(blocks, None if low is None else (int(low), int(high)))


def plan_parts(counts: Mapping[int, int], *, most_nodes: int) -> Iterator[WorkPart]:
    """Parts that together hold every row of every block once.

    Args:
        counts: rows of each block, by its place along the curve, ascending.
        most_nodes: rows of a part.
    """
    together = len(counts) >= LEAST_TOGETHER
    for _, group in itertools.groupby(counts, key=lambda block: block >> OCTET_BITS):
        blocks = tuple(group)
        if together and sum(counts[b] for b in blocks) <= most_nodes:
            yield WorkPart(blocks)
            continue
        for block in blocks:
            n_pieces = -(-counts[block] // most_nodes)
            edges = [counts[block] * i // n_pieces for i in range(n_pieces + 1)]
            for rows in itertools.pairwise(edges):
                yield WorkPart((block,), rows if n_pieces > 1 else None)


def work_parts(run: Run) -> list[str]:
    """Names of the parts of a run, in the order of work.

    Raises:
        MissingDataError: the run's nodes are not ordered by block yet.
    """
    counts = block_counts(run)
    return [part.name for part in plan_parts(counts, most_nodes=run.config.cubes.part_nodes)]


def part_nodes(run: Run, part: str) -> NodeTable:
    """The nodes of a part, read alone.

    Raises:
        ValueError: there is no such part.
    """
    wanted = WorkPart.from_name(part)
    nodes = block_nodes(run, wanted.blocks)
    return nodes if wanted.rows is None else nodes.take(np.arange(*wanted.rows))
