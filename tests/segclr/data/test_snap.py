import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segclr.data.nodes import NodeTable
from segclr.data.snap import drop_nodes, snap_to_segments
from segclr.data.volume import ArraySource, Volume
from segclr.geometry import center_nm_of_voxels, voxels_of_points

ID = 2**63 + 5  # equal to its neighbour ID + 1 as float64
SIZE, OFFSET = (4.0, 6.0, 10.0), (-3, 8, 5)


def table(parents, points=None, segment_id=ID):
    n = len(parents)
    return NodeTable(
        segment_ids=np.full(n, segment_id, np.uint64),
        node_ids=np.arange(n, dtype=np.uint32),
        points_nm=np.zeros((n, 3), np.float32) if points is None else np.asarray(points, np.float32),
        radii_nm=np.arange(n, dtype=np.float32),  # so that a node is known after it was numbered anew
        parents=np.asarray(parents, np.int32),
    )


@st.composite
def trees(draw):
    n = draw(st.integers(1, 15))
    parents = [-1] + [draw(st.integers(-1, i - 1)) for i in range(1, n)]
    return parents, np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))


@pytest.fixture(scope="module")
def segmentation():
    random = np.random.default_rng(0)
    labels = random.choice(np.array([0, ID, ID + 1], np.uint64), (12, 13, 14), p=[0.5, 0.1, 0.4])
    return Volume(ArraySource(labels, SIZE, OFFSET))


def nearest(segmentation, point, reach):
    labels = segmentation.read(segmentation.bounds)
    own = np.argwhere(labels == ID)[:, ::-1] + np.asarray(OFFSET)
    centers = center_nm_of_voxels(own, SIZE)
    gap = np.linalg.norm(centers - point, axis=1)
    return gap.min() if gap.min() <= reach else None


@pytest.mark.parametrize("reach", [0.0, 6.0, 15.0, 40.0])
def test_a_node_moves_to_its_nearest_own_voxel_or_is_dropped(segmentation, reach):
    random = np.random.default_rng(1)
    low = (np.array(OFFSET) - 2) * SIZE
    points = (low + random.random((60, 3)) * np.array([18, 17, 16]) * SIZE).astype(np.float32)
    snapped = snap_to_segments(table(np.arange(-1, 59), points), segmentation, reach_nm=reach)
    labels = segmentation.read(segmentation.bounds)
    left = {int(r): p for r, p in zip(snapped.nodes.radii_nm, snapped.nodes.points_nm, strict=True)}
    moved = 0
    for i, point in enumerate(points):
        x, y, z = voxels_of_points(point, SIZE)[0] - OFFSET
        inside = (
            all(0 <= v < n for v, n in zip((z, y, x), labels.shape, strict=True)) and labels[z, y, x] == ID
        )
        gap = None if inside else nearest(segmentation, point.astype(float), reach)
        if inside:
            assert np.array_equal(left[i], point)
        elif gap is None:
            assert i not in left
        else:
            moved += 1
            assert np.linalg.norm(left[i] - point) == pytest.approx(gap, rel=1e-4)
    assert (snapped.n_moved, snapped.n_dropped) == (moved, 60 - len(left))
    x, y, z = (voxels_of_points(snapped.nodes.points_nm, SIZE) - OFFSET).T
    assert (labels[z, y, x] == ID).all()
    assert (snapped.nodes.parents < 0).sum() == min(1, len(left))  # one tree stays one tree


def test_snapping_does_not_depend_on_the_block(segmentation):
    random = np.random.default_rng(2)
    points = ((np.array(OFFSET) + random.random((40, 3)) * [14, 13, 12]) * SIZE).astype(np.float32)
    nodes = table(np.arange(-1, 39), points)
    whole = snap_to_segments(nodes, segmentation, reach_nm=12)
    small = snap_to_segments(nodes, segmentation, reach_nm=12, block_vx=(3, 5, 2))
    assert np.array_equal(whole.nodes.points_nm, small.nodes.points_nm)
    assert (whole.n_moved, whole.n_dropped) == (small.n_moved, small.n_dropped)


def test_nodes_far_beyond_the_volume_are_dropped(segmentation):
    snapped = snap_to_segments(table([-1, 0], [[1e6, 0, 0], [0, -1e6, 0]]), segmentation, reach_nm=50)
    assert (len(snapped.nodes), snapped.n_dropped) == (0, 2)


def root_of(parents, node):
    while parents[node] >= 0:
        node = parents[node]
    return node


@given(trees())
def test_dropping_joins_children_to_their_nearest_kept_ancestor(tree):
    parents, dropped = tree
    left = drop_nodes(table(parents), dropped)
    kept = [int(r) for r in left.radii_nm]
    assert kept == np.flatnonzero(~dropped).tolist()
    assert np.array_equal(left.node_ids, np.arange(len(kept)))
    assert (left.parents < np.arange(len(kept))).all()
    for row, old in enumerate(kept):
        above = parents[old]
        while above >= 0 and dropped[above]:
            above = parents[above]
        if above >= 0:
            assert kept[left.parents[row]] == above


@given(trees())
def test_dropping_neither_splits_nor_joins_trees(tree):
    parents, dropped = tree
    left = drop_nodes(table(parents), dropped)
    kept = [int(r) for r in left.radii_nm]
    for i, a in enumerate(kept):
        for j, b in enumerate(kept):
            together = root_of(left.parents, i) == root_of(left.parents, j)
            assert together == (root_of(parents, a) == root_of(parents, b))


def test_each_segment_is_numbered_by_itself():
    both = NodeTable.concatenate([table([-1, 0, 1]), table([-1, 0, 1], segment_id=ID + 1)])
    left = drop_nodes(both, np.array([False, True, False, True, False, False]))
    assert left.segment_ids.tolist() == [ID, ID, ID + 1, ID + 1]
    assert left.node_ids.tolist() == [0, 1, 0, 1]
    assert left.parents.tolist() == [-1, 0, -1, 0]
