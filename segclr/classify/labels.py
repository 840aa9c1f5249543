"""Labels of segments or nodes, and their join to embeddings: exact in uint64, nothing dropped silently."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segclr.errors import LabelError
from segclr.store.embeddings import EmbeddingTable

__all__ = ["Joined", "Labels", "exact_ids", "join_labels", "name_some"]

_Key = NDArray[np.void]


@dataclass(frozen=True, kw_only=True)
class Labels:
    """One class for each labelled segment, or for each labelled node where ``node_ids`` is given.

    Attributes:
        segment_ids: uint64 [m].
        classes: str [m].
        node_ids: uint32 [m], or None where a label holds for the whole segment.

    Raises:
        LabelError: ids are not uint64 or uint32, lengths differ, a class is no text or empty, or a place is
            labelled twice.
    """

    segment_ids: NDArray[np.uint64]
    classes: NDArray[np.str_]
    node_ids: NDArray[np.uint32] | None = None

    def __post_init__(self) -> None:
        """Refuse ids that may be damaged, and labels that are empty or repeated."""
        ids = np.asarray(self.segment_ids)
        if ids.dtype != np.uint64:
            msg = f"segment_ids of labels must be uint64, got {ids.dtype}: ids above 2**53 may be damaged"
            raise LabelError(msg)
        classes = _as_classes(self.classes)
        object.__setattr__(self, "classes", classes)
        if self.node_ids is not None:
            object.__setattr__(self, "node_ids", _as_node_ids(self.node_ids))
        lengths = {len(ids), len(classes), len(ids) if self.node_ids is None else len(self.node_ids)}
        if len(lengths) > 1:
            msg = f"columns of labels must have one length, got {sorted(lengths)}"
            raise LabelError(msg)
        if (classes == "").any():
            msg = f"{(classes == '').sum()} labels are empty; leave unlabelled places out"
            raise LabelError(msg)
        keys, counts = np.unique(_keys(ids, self.node_ids), return_counts=True)
        if (counts > 1).any():
            msg = f"places are labelled more than once: {name_some(keys['segment_id'][counts > 1])}"
            raise LabelError(msg)

    def __len__(self) -> int:
        """Number of labels."""
        return len(self.segment_ids)

    def within(self, segment_ids: NDArray[np.uint64] | Iterable[int]) -> Labels:
        """The labels of these segments only; compare lengths to report how many were left out.

        Raises:
            LabelError: the ids may be damaged.
        """
        keep = np.isin(self.segment_ids, exact_ids(segment_ids))
        nodes = None if self.node_ids is None else self.node_ids[keep]
        return Labels(segment_ids=self.segment_ids[keep], classes=self.classes[keep], node_ids=nodes)


@dataclass(frozen=True, kw_only=True)
class Joined:
    """Rows of a table that have a label.

    Attributes:
        rows: int64 [k], ascending rows of the table.
        classes: str [k], the label of each.
        n_unlabelled: rows of the table without a label.
    """

    rows: NDArray[np.int64]
    classes: NDArray[np.str_]
    n_unlabelled: int


def join_labels(table: EmbeddingTable, labels: Labels) -> Joined:
    """Find the label of every row of a table by segment id, or by (segment id, node id).

    Raises:
        LabelError: a labelled segment or node is not in the table, or no row has a label.
    """
    nodes = None if labels.node_ids is None else table.node_ids
    rows, wanted = _keys(table.segment_ids, nodes), _keys(labels.segment_ids, labels.node_ids)
    absent = ~np.isin(wanted, rows)
    if absent.any():
        place = "segments" if nodes is None else "nodes"
        msg = (
            f"{absent.sum()} labelled {place} have no embedding: segments "
            f"{name_some(labels.segment_ids[absent])}; if that is expected, leave them out "
            "(Labels.within) and report how many"
        )
        raise LabelError(msg)
    order = np.argsort(wanted, kind="stable")
    known = np.flatnonzero(np.isin(rows, wanted))
    if len(known) == 0:
        msg = f"no row has a label: {len(labels)} labels, {len(table)} rows"
        raise LabelError(msg)
    found = order[np.searchsorted(wanted[order], rows[known])]
    return Joined(rows=known, classes=labels.classes[found], n_unlabelled=len(table) - len(known))


def exact_ids(segment_ids: NDArray[np.generic] | Iterable[int]) -> NDArray[np.uint64]:
    """Ids as uint64, none through float: numpy compares uint64 with int64 in float64.

    Args:
        segment_ids: uint64 [n], or Python's own whole numbers.

    Raises:
        LabelError: an array of another type, or something that is no id.
    """
    if isinstance(segment_ids, np.ndarray):
        if segment_ids.dtype != np.uint64:
            msg = f"segment ids must be uint64, got {segment_ids.dtype}: ids above 2**53 may be damaged"
            raise LabelError(msg)
        return np.asarray(segment_ids, dtype=np.uint64)
    try:
        return np.array([operator.index(i) for i in segment_ids], dtype=np.uint64)
    except (TypeError, OverflowError) as error:
        msg = f"segment ids are whole numbers from 0 to 2**64 - 1: {error}"
        raise LabelError(msg) from error


def _as_classes(given: NDArray[np.generic]) -> NDArray[np.str_]:
    """Text; what is missing in a table is no class of its own."""
    classes = np.asarray(given)
    strange = (
        [c for c in classes.ravel().tolist() if not isinstance(c, str)] if classes.dtype.kind in "Of" else []
    )
    if strange:
        msg = f"classes are text, got {strange[0]!r} in {len(strange)} rows; leave unlabelled places out"
        raise LabelError(msg)
    return classes.astype(str)


def _as_node_ids(given: NDArray[np.generic]) -> NDArray[np.uint32]:
    nodes = np.asarray(given)
    if len(nodes) and (nodes.dtype.kind not in "ui" or nodes.min() < 0 or nodes.max() >= 2**32):
        some = nodes[:3].tolist()
        msg = f"node_ids of labels are whole numbers from 0 to 2**32 - 1, got {nodes.dtype} such as {some}"
        raise LabelError(msg)
    return nodes.astype(np.uint32)


def name_some(segment_ids: NDArray[np.generic]) -> str:
    """The first ids, written out, for an error message."""
    unique = np.unique(segment_ids)
    return ", ".join(str(i) for i in unique[:5]) + (f" and {len(unique) - 5} more" if len(unique) > 5 else "")


def _keys(segment_ids: NDArray[np.uint64], node_ids: NDArray[np.uint32] | None) -> _Key:
    """Sortable keys that hold both ids exactly."""
    keys = np.zeros(len(segment_ids), dtype=[("segment_id", np.uint64), ("node_id", np.uint32)])
    keys["segment_id"] = segment_ids
    if node_ids is not None:
        keys["node_id"] = node_ids
    return keys
