"""Merge errors made on purpose: two cells joined where they come nearest, so that the place is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from segclr.errors import DataError, SegmentNotFoundError
from segclr.store.embeddings import EmbeddingTable

__all__ = ["Contact", "Merge", "draw_contacts", "find_contacts", "join_cells"]


@dataclass(frozen=True, kw_only=True)
class Contact:
    """Where two cells come nearest to each other.

    Attributes:
        cells: their segment ids, the smaller one first.
        rows: a row of the table for each, its node at the contact.
        gap_nm: straight distance of the two nodes.
    """

    cells: tuple[int, int]
    rows: tuple[int, int]
    gap_nm: float


@dataclass(frozen=True, kw_only=True)
class Merge:
    """Two cells as one segment.

    Attributes:
        table: the nodes of both under the first cell's id; node ids of the second follow those of the first.
        joint: node id of the lower end of the edge that joins them; its parent is a node of the first cell.
        cells: their segment ids before.
    """

    table: EmbeddingTable
    joint: int
    cells: tuple[int, int]


def find_contacts(table: EmbeddingTable, *, max_gap_um: float) -> list[Contact]:
    """All pairs of cells that come within a distance of each other, sorted by ids.

    Of nodes equally near, those of the lowest rows in the order of (segment_id, node_id) are taken.

    Raises:
        DataError: no two cells come so near.
    """
    order = np.lexsort((table.node_ids, table.segment_ids))
    points, cells = table.points_nm[order].astype(np.float64), table.segment_ids[order]
    pairs = KDTree(points).query_pairs(max_gap_um * 1000.0, output_type="ndarray")
    pairs = np.sort(pairs[cells[pairs[:, 0]] != cells[pairs[:, 1]]], axis=1)
    if not len(pairs):
        msg = f"no two of {len(np.unique(cells))} segments come within {max_gap_um:g} um of each other"
        raise DataError(msg)
    gap = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    ids = cells[pairs]
    nearest_first = np.lexsort((pairs[:, 1], pairs[:, 0], gap, ids[:, 1], ids[:, 0]))
    pairs, gap, ids = pairs[nearest_first], gap[nearest_first], ids[nearest_first]
    is_first = np.r_[True, (ids[1:] != ids[:-1]).any(axis=1)]
    return [
        Contact(cells=(int(a), int(b)), rows=(int(order[i]), int(order[j])), gap_nm=float(g))
        for (a, b), (i, j), g in zip(ids[is_first], pairs[is_first], gap[is_first], strict=True)
    ]


def draw_contacts(contacts: Sequence[Contact], *, n: int, per_cell: int, seed: int) -> list[Contact]:
    """Up to ``n`` contacts in random order, no cell in more than ``per_cell`` of them."""
    used: dict[int, int] = {}
    drawn: list[Contact] = []
    for i in np.random.default_rng(seed).permutation(len(contacts)):
        contact = contacts[i]
        if len(drawn) == n:
            break
        if all(used.get(cell, 0) < per_cell for cell in contact.cells):
            drawn.append(contact)
            for cell in contact.cells:
                used[cell] = used.get(cell, 0) + 1
    return drawn


def join_cells(table: EmbeddingTable, contact: Contact) -> Merge:
    """Join two cells of a table by an edge between their nodes at a contact.

    The second cell's tree is rooted anew at the contact, so that the edge runs from there to the first cell.

    Raises:
        DataError: the table has no parents, or a node's parent is not in it.
        SegmentNotFoundError: a cell is not in the table.
    """
    if table.parents is None:
        msg = "cells are joined along their trees, and this table has no parents"
        raise DataError(msg)
    parts = [_cell(table, cell) for cell in contact.cells]
    first, second = (table.take(rows) for rows in parts)
    offset = int(first.node_ids.max()) + 1
    parents = _rooted_at(second, int(table.node_ids[contact.rows[1]]))
    joint = int(table.node_ids[contact.rows[1]]) + offset
    parents = np.where(parents >= 0, parents + offset, -1)
    node_ids = second.node_ids.astype(np.int64) + offset
    parents[node_ids == joint] = int(table.node_ids[contact.rows[0]])
    both = table.take(np.concatenate(parts))
    merged = replace(
        both,
        segment_ids=np.full(len(both), contact.cells[0], dtype=np.uint64),
        node_ids=np.concatenate([first.node_ids.astype(np.int64), node_ids]),
        parents=np.concatenate([np.asarray(first.parents, dtype=np.int64), parents]),
    )
    return Merge(table=merged, joint=joint, cells=contact.cells)


def _cell(table: EmbeddingTable, cell: int) -> NDArray[np.int64]:
    rows = np.flatnonzero(table.segment_ids == np.uint64(cell))
    if not len(rows):
        msg = f"segment {cell} is not in the table"
        raise SegmentNotFoundError(msg)
    return rows


def _rooted_at(cell: EmbeddingTable, root: int) -> NDArray[np.int64]:
    """Parents (node ids, -1 for a root) after the edges from a node up to its root are turned round."""
    ids, parents = cell.node_ids.tolist(), np.asarray(cell.parents, dtype=np.int64)
    row_of = {node: row for row, node in enumerate(ids)}
    turned = parents.copy()
    child, node = -1, root
    for _ in range(len(ids)):
        if node not in row_of:
            msg = f"node {child} of segment {cell.segment_ids[0]} names parent {node}, which is not there"
            raise DataError(msg)
        above = int(parents[row_of[node]])
        turned[row_of[node]] = child
        if above < 0:
            return turned
        child, node = node, above
    msg = f"the parents of segment {cell.segment_ids[0]} make a cycle through node {root}"
    raise DataError(msg)
