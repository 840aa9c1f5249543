"""Splits by cell: all nodes of a segment stand on one side, and every class on both."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segclr.classify.labels import exact_ids, name_some
from segclr.errors import ConfigError, LabelError

__all__ = ["Split", "check_no_leak", "split_by_segment", "split_from_segments"]


@dataclass(frozen=True, kw_only=True)
class Split:
    """Rows to fit on and rows to judge by.

    Attributes:
        train: int64 [k], ascending rows.
        test: int64 [m], ascending rows; no segment of these has a row in ``train``.
    """

    train: NDArray[np.int64]
    test: NDArray[np.int64]


def split_by_segment(
    segment_ids: NDArray[np.uint64], classes: NDArray[np.str_], *, test_share: float, seed: int
) -> Split:
    """Divide labelled rows by segment, stratified by class.

    Segments are dealt one by one, those of the rarest class first, to the side that still wants most
    of that class (iterative stratification, Sechidis 2011, 10.1007/978-3-642-23808-6_10), so that
    segments with rows of several classes, as with compartments, are balanced too. The answer depends on
    the seed and the set of (segment, class) pairs, not on the order or number of rows.

    Args:
        segment_ids: uint64 [n].
        classes: str [n].
        test_share: share of the segments of each class that is held out, between 0 and 1.
        seed: of the order in which segments are dealt.

    Raises:
        ConfigError: ``test_share`` is not between 0 and 1.
        LabelError: fewer than two classes, or a class cannot stand on both sides.
    """
    if not 0.0 < test_share < 1.0:
        msg = f"test_share must lie between 0 and 1, got {test_share}"
        raise ConfigError(msg)
    segments, segment = np.unique(segment_ids, return_inverse=True)
    names, kind = np.unique(classes, return_inverse=True)
    has = np.zeros((len(segments), len(names)), dtype=bool)
    has[segment, kind] = True
    _check_classes(names, has)
    is_test = _deal(has, test_share=test_share, seed=seed)
    for side, rows in (("training", ~is_test), ("test", is_test)):
        missing = names[~has[rows].any(axis=0)]
        if len(missing):
            msg = f"no segment of class {', '.join(missing)} on the {side} side: label more segments of it"
            raise LabelError(msg)
    held_out = is_test[segment]
    return Split(train=np.flatnonzero(~held_out), test=np.flatnonzero(held_out))


def split_from_segments(
    segment_ids: NDArray[np.uint64],
    *,
    train_segments: NDArray[np.uint64] | Iterable[int],
    test_segments: NDArray[np.uint64] | Iterable[int],
) -> Split:
    """The rows of two given sets of segments; rows of neither stand on no side.

    Raises:
        LabelError: a segment is in both sets, one side has no row, or ids are arrays of another type.
    """
    rows, sides = exact_ids(segment_ids), (exact_ids(train_segments), exact_ids(test_segments))
    check_no_leak(*sides)
    train, test = (np.flatnonzero(np.isin(rows, side)) for side in sides)
    if len(train) == 0 or len(test) == 0:
        msg = f"both sides need rows, got {len(train)} to fit on and {len(test)} to judge by"
        raise LabelError(msg)
    return Split(train=train, test=test)


def check_no_leak(train_segments: NDArray[np.generic], test_segments: NDArray[np.generic]) -> None:
    """Make sure that no segment, or whatever names a cell, stands on both sides.

    Raises:
        LabelError: some do; their ids are named. Or the two cannot be compared exactly.
    """
    sides = np.asarray(train_segments), np.asarray(test_segments)
    if sides[0].dtype.kind != sides[1].dtype.kind:
        sides = exact_ids(train_segments), exact_ids(test_segments)
    both = np.intersect1d(*sides)
    if len(both):
        msg = f"{len(both)} segments stand on both sides of the split: {name_some(both)}"
        raise LabelError(msg)


def _check_classes(names: NDArray[np.str_], has: NDArray[np.bool_]) -> None:
    if len(names) < 2:
        msg = f"a split needs at least two classes, got {', '.join(names) or 'none'}"
        raise LabelError(msg)
    lonely = names[has.sum(axis=0) < 2]
    if len(lonely):
        msg = f"class {', '.join(lonely)} has one segment only; two are needed, one for each side"
        raise LabelError(msg)


def _deal(has: NDArray[np.bool_], *, test_share: float, seed: int) -> NDArray[np.bool_]:
    """Whether each segment is held out; rows of ``has`` are segments, columns are classes."""
    rng = np.random.default_rng(seed)
    total = has.sum(axis=0)
    n_test = np.clip(np.rint(test_share * total), 1, total - 1)  # every class on both sides
    wanted = np.stack([total - n_test, n_test])  # [side, class], segments still wanted
    side = np.full(len(has), -1)
    order = rng.permutation(len(has))
    while (side < 0).any():
        left = (has & (side < 0)[:, None]).sum(axis=0)
        rarest = np.argmin(np.where(left > 0, left, len(has) + 1))
        for row in order[has[order, rarest] & (side[order] < 0)]:
            # Ties go to the side that wants more segments altogether, then to training.
            want = wanted[:, rarest]
            best = np.flatnonzero(want == want.max())
            chosen = best[np.argmax(wanted[best].sum(axis=1))]
            side[row] = chosen
            wanted[chosen, has[row]] -= 1
    return side == 1
