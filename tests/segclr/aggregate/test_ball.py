import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segclr.aggregate import ball as ball_module
from segclr.aggregate.ball import ball_sums
from segclr.aggregate.leaves import LEAF, Leaves


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
    return sums, counts


def collected(points, segment, values, **settings):
    sums, counts = np.full(values.shape, np.nan), np.zeros(len(points), dtype=int)
    lock = threading.Lock()

    def use(found):
        with lock:
            assert (counts[found.rows] == 0).all()
            sums[found.rows], counts[found.rows] = found.sums, found.n_nodes

    ball_sums(points, segment, lambda nodes: values[nodes].copy(), use=use, **settings)
    return sums, counts


@settings(max_examples=60, deadline=None)
@given(cloud=clouds(), radius_nm=st.sampled_from([0.0, 1e-4, 500.0, 707.2, 1000.0, 3000.5, 1e6, 1e16]))
def test_equals_a_naive_double_loop(cloud, radius_nm):
    points, segment = cloud
    values = np.random.default_rng(0).standard_normal((len(points), 3))
    want, want_counts = naive(points, segment, values, radius_nm)
    got, counts = collected(points, segment, values, radius_nm=radius_nm)
    np.testing.assert_array_equal(counts, want_counts)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12 * len(points))


@pytest.mark.parametrize("nudge", [-1, 0, 1])
def test_a_radius_one_step_of_float64_away_is_told_apart(nudge):
    points = np.array([[0, 0, 0], [1234.5, 77.25, 3.0]])
    exactly = np.sqrt((points[1] * points[1])[0] + (points[1] * points[1])[1] + 9.0)
    radius_nm = exactly if nudge == 0 else np.nextafter(exactly, np.inf * nudge)
    _, counts = collected(points, np.zeros(2, dtype=int), np.ones((2, 1)), radius_nm=radius_nm)
    assert counts.tolist() == ([1, 1] if nudge < 0 else [2, 2])


def walk(n):
    random = np.random.default_rng(1)
    points = np.cumsum(random.standard_normal((n, 3)) * 700, axis=0).astype(np.float32)
    return points, np.sort(random.integers(0, 3, n)), random.standard_normal((n, 2))


@pytest.mark.parametrize(
    "changes", [{"_BLOCK": 3}, {"_MAX_LEAF_PAIRS": 5}, {"_CHUNK": 1}, {"_CACHED": 2, "_BLOCK": 7}]
)
def test_small_pieces_and_threads_give_the_same_bits(monkeypatch, changes):
    points, segment, values = walk(600)
    whole = collected(points, segment, values, radius_nm=4000.0)
    for name, value in changes.items():
        monkeypatch.setattr(ball_module, name, value)
    for threads in (1, 3):
        got = collected(points, segment, values, radius_nm=4000.0, threads=threads)
        np.testing.assert_array_equal(got[0], whole[0])
        np.testing.assert_array_equal(got[1], whole[1])


def test_ids_without_order_in_space_give_the_same_sums():
    points, _, values = walk(500)
    segment = np.zeros(500, dtype=int)
    order = np.random.default_rng(2).permutation(500)
    in_order = collected(points, segment, values, radius_nm=4000.0)
    shuffled = collected(points[order], segment, values[order], radius_nm=4000.0)
    np.testing.assert_allclose(shuffled[0], in_order[0][order], atol=1e-12)
    np.testing.assert_array_equal(shuffled[1], in_order[1][order])


def test_leaves_are_full_of_near_nodes_whatever_the_order_of_ids():
    points, _, _ = walk(4000)
    points, segment = points.astype(np.float64), np.zeros(4000, dtype=np.int64)
    order = np.random.default_rng(2).permutation(4000)
    for places in (points, points[order]):
        leaves = Leaves.cut(places, segment, reach_nm=4000.0)
        assert len(leaves) < 2 * 4000 / LEAF
        assert np.sort(leaves.order).tolist() == list(range(4000))
        inside = np.repeat(np.arange(len(leaves)), np.diff(leaves.starts))
        assert (places[leaves.order] >= leaves.lower[inside]).all()
        assert (places[leaves.order] <= leaves.upper[inside]).all()
        assert np.linalg.norm(leaves.upper - leaves.lower, axis=1).max() <= (LEAF - 1) * 4000.0


def test_an_error_in_a_thread_is_raised():
    points, segment, values = walk(50)

    def use(found):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ball_sums(points, segment, lambda nodes: values[nodes], radius_nm=1.0, use=use)
