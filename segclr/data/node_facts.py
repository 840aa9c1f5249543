"""What a node's place in its tree says of it: distance to the root, kind, cable."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segclr.data.nodes import NodeTable
from segclr.data.skeleton import edge_lengths_nm
from segclr.data.tree import path_from_root_nm

__all__ = ["NodeType", "cable_table", "node_facts"]


class NodeType(IntEnum):
    """Kind of a node by the number of its neighbours in the tree, parent included: none or 1, 2, more."""

    LEAF = 1
    PATH = 2
    BRANCH = 3


def node_facts(nodes: NodeTable, *, soma_radius_nm: float | None = None) -> dict[str, NDArray[Any]]:
    """The columns of ``nodes/*.parquet`` that follow the schema's own.

    Args:
        nodes: of whole segments, sorted.
        soma_radius_nm: nodes of this radius or more are of a soma; None: there is no such column.

    Returns:
        ``distance_to_root_nm`` float32, path along straight edges between nodes; ``type`` uint8, a
        ``NodeType``; ``is_soma`` bool where asked for.
    """
    parents = nodes.parent_rows()
    child = parents >= 0
    n_neighbours = np.bincount(parents[child], minlength=len(nodes)) + child
    facts: dict[str, NDArray[Any]] = {
        "distance_to_root_nm": path_from_root_nm(nodes.points_nm, parents).astype(np.float32),
        "type": np.clip(n_neighbours, NodeType.LEAF, NodeType.BRANCH).astype(np.uint8),
    }
    if soma_radius_nm is not None:
        facts["is_soma"] = nodes.radii_nm >= soma_radius_nm
    return facts


def cable_table(nodes: NodeTable) -> dict[str, NDArray[Any]]:
    """One row a segment: ``segment_id`` uint64, ``n_nodes`` int64, ``cable_nm`` float64 between nodes."""
    lengths = edge_lengths_nm(nodes.points_nm, nodes.parent_rows())
    segments = list(nodes.segments())
    return {
        "segment_id": np.array([i for i, _ in segments], dtype=np.uint64),
        "n_nodes": np.array([r.stop - r.start for _, r in segments], dtype=np.int64),
        "cable_nm": np.array([lengths[r].sum() for _, r in segments], dtype=np.float64),
    }
