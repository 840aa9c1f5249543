import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from segclr.data.clip import clip_skeleton, clip_to_box, drop_nodes
from segclr.data.nodes import NodeTable
from segclr.data.skeleton import Skeleton

ID = 2**63 + 5


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


@given(trees(), trees())
def test_dropping_in_many_segments_is_dropping_in_each(one, other):
    tables = [table(one[0]), table(other[0], segment_id=2**64 - 1)]
    both = drop_nodes(NodeTable.concatenate(tables), np.r_[one[1], other[1]])
    each = NodeTable.concatenate(drop_nodes(t, d) for t, (_, d) in zip(tables, (one, other), strict=True))
    assert all(np.array_equal(v, each.columns()[k]) for k, v in both.columns().items())


def test_what_comes_back_into_the_box_is_a_tree_of_its_own():
    points = [[x, 0, 0] for x in (0, 10, 20, 30, 20, 10)]
    left = clip_to_box(table([-1, 0, 1, 2, 3, 4], points), (0, 0, 0), (30, 1, 1))
    assert left.radii_nm.tolist() == [0, 1, 2, 4, 5]
    assert left.parents.tolist() == [-1, 0, 1, -1, 3]
    assert left.node_ids.tolist() == [0, 1, 2, 3, 4]
    assert len(clip_to_box(left, (50, 0, 0), (60, 1, 1))) == 0


def skeleton(points, parents):
    radii = np.ones(len(points), np.float32)
    return Skeleton(ID, np.asarray(points, np.float32), np.asarray(parents, np.int32), radii)


@st.composite
def skeletons(draw):
    parents, _ = draw(trees())
    places = st.tuples(*[st.integers(-30, 30)] * 3)
    return skeleton([draw(places) for _ in parents], parents)


@given(skeletons())
def test_a_clipped_skeleton_is_its_cable_in_the_box_sampled_finely(whole):
    low, high = np.full(3, -10), np.array([10, 12, 14])
    near = clip_skeleton(whole, low, high)
    share = (np.arange(2000) + 0.5) / 2000
    cable = 0.0
    for child in np.flatnonzero(whole.parents >= 0):
        a, b = (whole.points_nm[i].astype(float) for i in (whole.parents[child], child))
        line = a + share[:, None] * (b - a)
        cable += np.linalg.norm(b - a) * np.all((line >= low) & (line <= high), axis=1).mean()
    assert abs(near.cable_length_nm - cable) <= 0.2 * len(whole)
    assert ((near.points_nm >= low) & (near.points_nm <= high)).all()


def test_an_edge_through_the_box_is_a_tree_and_a_skeleton_within_it_stays_as_it_is():
    through = clip_skeleton(skeleton([[-1e9, 5, 5], [1e9, 5, 5]], [-1, 0]), [0] * 3, [10] * 3)
    assert sorted(through.points_nm[:, 0].tolist()) == [0, 10]
    assert through.parents.tolist() == [-1, 0]
    inner = skeleton([[1, 1, 1], [9, 9, 9]], [-1, 0])
    assert clip_skeleton(inner, [0] * 3, [10] * 3) is inner
    assert len(clip_skeleton(inner, [20] * 3, [30] * 3)) == 0
