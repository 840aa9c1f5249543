import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segclr.aggregate import aggregate
from segclr.aggregate import pool as pool_module
from segclr.store.embeddings import EmbeddingTable

ROOT = Path(__file__).resolve().parents[3]


def table_of(points, segment, values, node_ids=None):
    return EmbeddingTable(
        segment_ids=segment.astype(np.uint64),
        node_ids=np.arange(len(points)) if node_ids is None else node_ids,
        points_nm=points,
        parents=None,
        embeddings=values,
    )


@st.composite
def clouds(draw):
    """Walks, clouds and grids of several segments; grids and walks on whole steps tie at the radius."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = draw(st.lists(st.integers(1, 70), min_size=1, max_size=4))
    n = sum(sizes)
    kind = draw(st.sampled_from(["walk", "cloud", "grid", "one place"]))
    if kind == "walk":
        points = np.cumsum(random.integers(-1, 2, (n, 3)) * 500.0, axis=0)
    elif kind == "cloud":
        points = random.uniform(-4000, 4000, (n, 3))
    else:
        points = random.integers(0, 6 if kind == "grid" else 1, (n, 3)) * 500.0
    offset = draw(st.sampled_from([0.0, 1e6, 3e7]))
    return (points + offset).astype(np.float32), np.repeat(np.arange(len(sizes)), sizes)


def naive(points, segment, values, radius_nm):
    """A double loop."""
    points = points.astype(np.float64)
    sums, counts = np.zeros(values.shape), np.zeros(len(points), dtype=int)
    for i in range(len(points)):
        for j in range(len(points)):
            gap = points[i] - points[j]
            near = np.sqrt(gap[0] * gap[0] + gap[1] * gap[1] + gap[2] * gap[2]) <= radius_nm
            if segment[i] == segment[j] and near:
                sums[i] += values[j]
                counts[i] += 1
    return sums / counts[:, None], counts


@settings(max_examples=60)
@given(cloud=clouds(), radius_nm=st.sampled_from([0.0, 1e-4, 500.0, 707.2, 1000.0, 3000.5, 1e6, 1e16, 1e200]))
def test_equals_a_naive_double_loop(cloud, radius_nm):
    points, segment = cloud
    values = np.random.default_rng(0).standard_normal((len(points), 3)).astype(np.float32)
    radius_um = radius_nm / 1000
    want, counts = naive(points, segment, values.astype(np.float64), radius_um * 1000)
    got = aggregate(table_of(points, segment, values), radius_um=radius_um)
    np.testing.assert_array_equal(got.n_nodes, counts)
    np.testing.assert_allclose(got.embeddings, want, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("nudge", [-1, 0, 1])
def test_a_radius_one_step_of_float64_away_is_told_apart(nudge):
    points = np.array([[0, 0, 0], [1234.5, 77.25, 3.0]])
    squares = points[1] * points[1]
    exactly = np.sqrt(squares[0] + squares[1] + squares[2]) / 1000
    assert exactly * 1000 == np.sqrt(squares[0] + squares[1] + squares[2])
    radius_um = exactly if nudge == 0 else np.nextafter(exactly, np.inf * nudge)
    got = aggregate(table_of(points, np.ones(2), np.ones((2, 1))), radius_um=float(radius_um))
    assert got.n_nodes.tolist() == ([1, 1] if nudge < 0 else [2, 2])


def test_a_node_far_outside_changes_nothing_for_the_others():
    random = np.random.default_rng(3)
    points = np.vstack([random.uniform(0, 9000, (200, 3)), [[3e38, -3e38, 1e30]]])
    values = random.standard_normal((201, 2))
    whole = aggregate(table_of(points, np.ones(201), values), radius_um=2, spread=True)
    alone = aggregate(table_of(points[:200], np.ones(200), values[:200]), radius_um=2, spread=True)
    np.testing.assert_array_equal(whole.n_nodes, [*alone.n_nodes, 1])
    np.testing.assert_allclose(whole.embeddings[:200], alone.embeddings, atol=1e-7)
    np.testing.assert_allclose(whole.spread[:200], alone.spread, atol=1e-7)


def walks(n):
    random = np.random.default_rng(1)
    points = np.cumsum(random.standard_normal((n, 3)) * 700, axis=0)
    return table_of(points, np.sort(random.integers(0, 5, n)), random.standard_normal((n, 5)))


@pytest.mark.parametrize("weighting", ["uniform", "gaussian"])
def test_small_blocks_threads_order_and_other_segments_give_the_same_bits(monkeypatch, weighting):
    table = walks(600)
    whole = aggregate(table, radius_um=4, weighting=weighting, spread=True)
    order = np.random.default_rng(2).permutation(600)
    alone = np.flatnonzero(table.segment_ids == 3)
    for block in (1, 7, 100):
        monkeypatch.setattr(pool_module, "_BLOCK", block)
        for rows in (np.arange(600), order, alone):
            for threads in (1, 3):
                got = aggregate(
                    table.take(rows), radius_um=4, weighting=weighting, spread=True, threads=threads
                )
                for name in ("embeddings", "n_nodes", "spread"):
                    np.testing.assert_array_equal(getattr(got, name), getattr(whole, name)[rows])


def test_ids_without_order_in_space_give_the_same_means():
    table = walks(500)
    ids = np.random.default_rng(2).permutation(500)
    renamed = table_of(table.points_nm, table.segment_ids, table.embeddings, node_ids=ids)
    want, got = (aggregate(t, radius_um=4, spread=True) for t in (table, renamed))
    np.testing.assert_array_equal(got.n_nodes, want.n_nodes)
    np.testing.assert_allclose(got.embeddings, want.embeddings, atol=1e-6)
    np.testing.assert_allclose(got.spread, want.spread, atol=1e-6)


AVERAGED = """
import numpy as np, numba.core.caching as caching
from segclr import EmbeddingTable, aggregate
caching.CacheImpl._locator_classes = []
table = EmbeddingTable(
    segment_ids=np.ones(3, np.uint64), node_ids=[1, 2, 3], points_nm=np.zeros((3, 3)), parents=None,
    embeddings=np.array([[1.0], [2.0], [6.0]]),
)
print(aggregate(table, radius_um=1).embeddings.tolist())
"""


def test_averages_come_without_a_folder_for_compiled_code_too(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-W", "error", "-c", AVERAGED]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[0] == "[[3.0], [3.0], [3.0]]"
    assert not list(tmp_path.iterdir())
