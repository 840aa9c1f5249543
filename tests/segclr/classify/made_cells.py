"""Cells that are made up: branching trees in space, with embeddings that tell their type and themselves."""

import numpy as np

from segclr.store.embeddings import EmbeddingTable


def made_cells(types, *, n_nodes=20, type_step=3.0, cell_step=0.0, seed=0):
    """A cell of each of the types, side by side about 1 um apart, and the type of each row.

    Embeddings are noise of spread 1 plus ``type_step`` along the type's axis plus a shift of the cell's own.
    """
    rng = np.random.default_rng(seed)
    names = sorted(set(types))
    parts, rows = [], []
    for number, kind in enumerate(types):
        parents = np.array([-1] + [int(rng.integers(max(0, i - 2), i)) for i in range(1, n_nodes)])
        steps = rng.normal([1000, 0, 0], 100, (n_nodes, 3))
        points = np.zeros((n_nodes, 3))
        for i in range(1, n_nodes):
            points[i] = points[parents[i]] + steps[i]
        points[:, 1] += 1000 * number
        embeddings = rng.standard_normal((n_nodes, 8)) + cell_step * rng.standard_normal(8)
        embeddings[:, names.index(kind)] += type_step
        parts.append((parents, points, embeddings))
        rows += [kind] * n_nodes
    ids = np.uint64(2**63 + 1000 * seed) + np.arange(len(types), dtype=np.uint64)
    return EmbeddingTable(
        segment_ids=np.repeat(ids, n_nodes),
        node_ids=np.tile(np.arange(n_nodes), len(types)),
        points_nm=np.concatenate([p for _, p, _ in parts]).astype(np.float32),
        parents=np.concatenate([p for p, _, _ in parts]),
        embeddings=np.concatenate([e for _, _, e in parts]).astype(np.float32),
    ), np.array(rows)
