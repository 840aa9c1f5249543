"""Connected segments: crumbs are dropped and gaps are filled, always from a face neighbour."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from segclr.data.neuropil.paint import NOBODY

__all__ = ["drop_crumbs", "fill_gaps", "largest_pieces"]


def largest_pieces(labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Voxels of the largest piece of each label, pieces joined over faces, bool [z, y, x].

    Runs of equal labels along x are the vertices of a graph; two runs of one label that share a face
    are joined. That is exact, and far smaller than a graph of voxels.
    """
    begins = np.ones(labels.shape, dtype=bool)
    np.not_equal(labels[..., 1:], labels[..., :-1], out=begins[..., 1:])
    runs = np.cumsum(begins.ravel(), dtype=np.int32).reshape(labels.shape)
    runs -= 1
    n = int(runs[-1, -1, -1]) + 1
    first: list[NDArray[np.int32]] = []
    second: list[NDArray[np.int32]] = []
    for here, there in (
        ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
        ((slice(1, None), slice(None)), (slice(None, -1), slice(None))),
    ):
        same = labels[here] == labels[there]
        # Along x the same pair of runs repeats; its first contact is enough.
        fresh = begins[here] | begins[there]
        fresh[..., 1:] |= ~same[..., :-1]
        fresh &= same
        first.append(runs[here][fresh])
        second.append(runs[there][fresh])
    rows, columns = np.concatenate(first), np.concatenate(second)
    graph = coo_matrix((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(n, n))
    n_pieces, piece = connected_components(graph, directed=False)
    starts = np.flatnonzero(begins.ravel())
    lengths = np.diff(np.append(starts, labels.size))
    sizes = np.bincount(piece, weights=lengths, minlength=n_pieces)
    label_of_piece = np.zeros(n_pieces, dtype=labels.dtype)
    label_of_piece[piece] = labels.ravel()[starts]
    order = np.lexsort((np.arange(n_pieces), -sizes, label_of_piece))
    _, firsts = np.unique(label_of_piece[order], return_index=True)
    largest = np.zeros(n_pieces, dtype=bool)
    largest[order[firsts]] = True
    return np.asarray(largest[piece][runs])


def drop_crumbs(owner: NDArray[np.int32], cell_of_vertex: NDArray[np.integer]) -> None:
    """Give all but the largest piece of every cell to nobody, in place."""
    labels = np.append(cell_of_vertex, NOBODY).astype(np.int32)[owner]  # -1 looks up the appended NOBODY
    owner[~largest_pieces(labels)] = NOBODY


def fill_gaps(
    owner: NDArray[np.int32], grows: NDArray[np.bool_], *, rounds: int, rng: np.random.Generator
) -> None:
    """Let some vertices' voxels grow into nobody's, one voxel a round over faces, in place.

    Args:
        owner: int32 [z, y, x], vertex of each voxel or ``NOBODY``.
        grows: bool [n_vertices], whose voxels grow.
        rounds: voxels of growth.
        rng: decides which of several neighbours comes first.
    """
    padded = np.pad(owner, 1, constant_values=NOBODY)
    flat = padded.ravel()
    strides = (padded.shape[1] * padded.shape[2], padded.shape[2], 1)
    steps = [sign * stride for stride in strides for sign in (-1, 1)]
    inner = np.zeros(padded.shape, dtype=bool)
    inner[1:-1, 1:-1, 1:-1] = owner == NOBODY
    empty = np.flatnonzero(inner.ravel())
    allowed = np.append(grows, False)
    for _ in range(rounds):
        found = np.full(len(empty), NOBODY, dtype=np.int32)
        for step in rng.permutation(steps):
            open_ = np.flatnonzero(found == NOBODY)
            neighbour = flat[empty[open_] + step]
            found[open_] = np.where(allowed[neighbour], neighbour, NOBODY)
        hit = found != NOBODY
        if not hit.any():
            break
        flat[empty[hit]] = found[hit]
        empty = empty[~hit]
    owner[...] = padded[1:-1, 1:-1, 1:-1]
