import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segclr.data.nodes import NodeTable, resample
from segclr.data.skeleton import Skeleton
from segclr.data.tree import path_from_root_nm
from segclr.errors import SkeletonError

ID = 2**63 + 5


def skeleton(points, parents, radii=None):
    radii = np.ones(len(points)) if radii is None else radii
    return Skeleton(
        ID, np.asarray(points, np.float32), np.asarray(parents, np.int32), np.asarray(radii, np.float32)
    )


@st.composite
def skeletons(draw, trees=False):
    """Vertices on a grid of 100 nm, so that edges are long and short, and some have no length."""
    n = draw(st.integers(1, 14))
    parents = [-1] + [draw(st.integers(-1 if trees else 0, i - 1)) for i in range(1, n)]
    points = draw(st.lists(st.tuples(*[st.integers(0, 8)] * 3), min_size=n, max_size=n))
    return skeleton(np.array(points) * 100.0, parents)


@pytest.mark.parametrize(
    ("length", "last"), [(4000, 4000), (4499, 4499), (4500, 4500), (4999, 4999), (300, 0)]
)
def test_a_straight_line_has_a_node_every_spacing_and_its_end(length, last):
    nodes = resample(skeleton([[0, 0, 0], [0, 0, length]], [-1, 0]), spacing_nm=1000)
    expected = [float(z) for z in range(0, length + 1, 1000)]
    left = length - expected[-1]
    if left >= 500:
        expected.append(float(length))
    elif len(expected) > 1:
        expected[-1] = float(length)
    assert nodes.points_nm[:, 2].tolist() == expected
    assert expected[-1] == last
    assert nodes.parents.tolist() == list(range(-1, len(expected) - 1))
    assert not nodes.points_nm[:, :2].any()


def test_where_vertices_lie_on_a_line_does_not_matter():
    random = np.random.default_rng(0)
    places = np.r_[0, np.sort(random.uniform(0, 7300, 40)), 7300]
    line = np.stack([places] * 3, axis=1) / np.sqrt(3)
    many = resample(skeleton(line, np.arange(-1, 41), places), spacing_nm=1000)
    two = resample(skeleton(line[[0, -1]], [-1, 0], places[[0, -1]]), spacing_nm=1000)
    np.testing.assert_allclose(many.points_nm, two.points_nm, atol=1e-2)
    np.testing.assert_allclose(many.radii_nm, two.radii_nm, rtol=1e-4)


def own_distances(made, nodes, spacing):
    """Distance from the root of each node, measured along the skeleton: by how far it lies on some edge."""
    distance = path_from_root_nm(made.points_nm, made.parents)
    points = made.points_nm.astype(np.float64)
    candidates = []
    for node in nodes.points_nm.astype(np.float64):
        found = set()
        for vertex, parent in enumerate(made.parents):
            a, b = (points[vertex], points[vertex]) if parent < 0 else (points[parent], points[vertex])
            length = np.linalg.norm(b - a)
            t = 0.0 if length == 0 else float(np.clip(np.dot(node - a, b - a) / length**2, 0, 1))
            if np.linalg.norm(a + t * (b - a) - node) < 0.5:
                start = distance[vertex] if parent < 0 else distance[parent]
                found.add(round(start + t * length, 3))
        assert found, f"node {node} lies off the skeleton"
        candidates.append(found)
    return candidates


def ends_of(made, *, branch_points=True):
    """Roots, tips and, where asked for, branch points."""
    n_children = np.bincount(made.parents[made.parents >= 0], minlength=len(made))
    return np.flatnonzero((made.parents < 0) | (n_children == 0) | ((n_children > 1) & branch_points))


@given(skeletons(), st.sampled_from([90.0, 250.0, 777.0]))
@settings(max_examples=60)
def test_a_step_is_one_spacing_of_path_but_to_a_tip_where_it_is_half_to_one_and_a_half(made, spacing):
    nodes = resample(made, spacing_nm=spacing)
    along = own_distances(made, nodes, spacing)
    ends = made.points_nm[ends_of(made, branch_points=False)]
    for node, parent in enumerate(nodes.parents):
        if parent < 0:
            continue
        steps = [b - a for a in along[parent] for b in along[node]]
        at_end = np.linalg.norm(ends - nodes.points_nm[node], axis=1).min() < 0.5
        if at_end:
            assert any(spacing / 2 - 1 <= s < 1.5 * spacing + 1 for s in steps)
        else:
            assert any(abs(s - spacing) < 1 for s in steps)


@given(skeletons(trees=True), st.sampled_from([90.0, 250.0, 777.0]))
def test_every_tip_is_a_node_or_less_than_half_a_step_below_one(made, spacing):
    nodes = resample(made, spacing_nm=spacing)
    distance = path_from_root_nm(made.points_nm, made.parents)
    places = nodes.points_nm.astype(np.float64)
    for end in ends_of(made, branch_points=False):
        if np.linalg.norm(places - made.points_nm[end], axis=1).min() < 0.5:
            continue
        # walk up half a spacing along the skeleton: a node must lie on the way
        vertex, found = end, False
        while not found and made.parents[vertex] >= 0 and distance[end] - distance[vertex] < spacing / 2:
            a, b = (made.points_nm[v].astype(np.float64) for v in (made.parents[vertex], vertex))
            length = np.linalg.norm(b - a)
            if length:
                share = np.clip((places - a) @ (b - a) / length**2, 0, 1)
                near = np.linalg.norm(a + share[:, None] * (b - a) - places, axis=1) < 0.5
                gap = distance[end] - distance[made.parents[vertex]] - share * length
                found = bool((near & (gap < spacing / 2 + 1)).any())
            vertex = made.parents[vertex]
        assert found


@given(skeletons(trees=True), st.sampled_from([90.0, 250.0, 777.0]))
def test_parents_come_first_and_node_zero_is_a_root(made, spacing):
    nodes = resample(made, spacing_nm=spacing)
    assert nodes.parents[0] == -1
    assert np.array_equal(nodes.node_ids, np.arange(len(nodes)))
    assert (nodes.parents < np.arange(len(nodes))).all()
    assert (nodes.segment_ids == ID).all()
    assert (nodes.segment_ids.dtype, nodes.node_ids.dtype, nodes.parents.dtype) == (
        np.uint64,
        np.uint32,
        np.int32,
    )
    assert (nodes.parents < 0).sum() == (made.parents < 0).sum()


@given(skeletons(), st.sampled_from([90.0, 250.0, 777.0]))
def test_no_place_on_the_skeleton_is_far_from_a_node(made, spacing):
    nodes = resample(made, spacing_nm=spacing)
    for vertex in made.points_nm.astype(np.float64):
        # a moved end leaves at most a spacing and a half, and a twig that gets none is below half a spacing
        assert np.linalg.norm(nodes.points_nm - vertex, axis=1).min() <= spacing + 1


def test_spacing_goes_on_across_branch_points():
    made = skeleton([[0, 0, 0], [1500, 0, 0], [4500, 0, 0], [1500, 2500, 0]], [-1, 0, 1, 1])
    nodes = resample(made, spacing_nm=1000)
    places = {tuple(int(v) for v in p) for p in nodes.points_nm}
    on_trunk = {(0, 0, 0), (1000, 0, 0), (2000, 0, 0), (3000, 0, 0), (4000, 0, 0), (4500, 0, 0)}
    assert places == on_trunk | {(1500, 500, 0), (1500, 1500, 0), (1500, 2500, 0)}
    row = {tuple(int(v) for v in p): i for i, p in enumerate(nodes.points_nm)}
    assert nodes.parents[row[1500, 500, 0]] == nodes.parents[row[2000, 0, 0]] == row[1000, 0, 0]


def test_a_branch_point_just_below_a_node_gets_none_and_the_path_goes_on_through_it():
    made = skeleton(
        [[0, 0, 0], [1000, 0, 0], [1400, 0, 0], [4000, 0, 0], [1400, 900, 0], [1000, 3000, 0]],
        [-1, 0, 1, 2, 2, 1],
    )
    nodes = resample(made, spacing_nm=1000)
    row = {tuple(int(v) for v in p): i for i, p in enumerate(nodes.points_nm)}
    assert set(row) == {
        (0, 0, 0),
        (1000, 0, 0),
        (2000, 0, 0),
        (3000, 0, 0),
        (4000, 0, 0),
        (1400, 900, 0),
        (1000, 1000, 0),
        (1000, 2000, 0),
        (1000, 3000, 0),
    }
    assert nodes.parents[row[1400, 900, 0]] == nodes.parents[row[2000, 0, 0]] == row[1000, 0, 0]


def test_a_short_twig_gets_a_node_from_half_a_spacing_on():
    for length, n_twigs in [(499, 0), (500, 1)]:
        made = skeleton([[0, 0, 0], [2000, 0, 0], [4000, 0, 0], [2000, length, 0]], [-1, 0, 1, 1])
        assert (resample(made, spacing_nm=1000).points_nm[:, 1] > 0).sum() == n_twigs


def test_one_vertex_is_one_node():
    nodes = resample(skeleton([[5, 6, 7]], [-1], [3.5]), spacing_nm=1000)
    assert (nodes.points_nm.tolist(), nodes.radii_nm.tolist(), nodes.parents.tolist()) == (
        [[5, 6, 7]],
        [3.5],
        [-1],
    )


def test_repeated_vertices_do_no_harm():
    made = skeleton([[0, 0, 0], [0, 0, 0], [1000, 0, 0], [1000, 0, 0], [2000, 0, 0]], [-1, 0, 1, 2, 3])
    assert resample(made, spacing_nm=1000).points_nm[:, 0].tolist() == [0, 1000, 2000]


@pytest.mark.parametrize("spacing", [0, -1, float("nan")])
def test_a_spacing_that_is_not_positive_is_refused(spacing):
    with pytest.raises(SkeletonError, match="spacing"):
        resample(skeleton([[0, 0, 0]], [-1]), spacing_nm=spacing)


def test_an_empty_skeleton_is_refused():
    with pytest.raises(SkeletonError, match="0 vertices"):
        resample(skeleton(np.zeros((0, 3)), []), spacing_nm=100)


def table(segment_id, n):
    random = np.random.default_rng(n)
    return NodeTable(
        segment_ids=np.full(n, segment_id, np.uint64),
        node_ids=np.arange(n, dtype=np.uint32),
        points_nm=random.normal(size=(n, 3)).astype(np.float32),
        radii_nm=random.random(n).astype(np.float32),
        parents=np.arange(-1, n - 1, dtype=np.int32),
    )


def same(one, other):
    a, b = one.columns(), other.columns()
    return all(a[k].dtype == b[k].dtype and np.array_equal(a[k], b[k]) for k in a)


def test_columns_round_trip():
    made = table(2**64 - 1, 7)
    assert same(NodeTable.from_columns(made.columns()), made)


def test_concatenating_sorts_by_segment_and_keeps_ids_exact():
    parts = [table(i, n) for i, n in [(2**64 - 1, 3), (2**53 + 1, 2), (7, 4), (2**53, 1)]]
    whole = NodeTable.concatenate(iter(parts))
    assert [i for i, _ in whole.segments()] == [7, 2**53, 2**53 + 1, 2**64 - 1]
    assert same(NodeTable.concatenate(parts[::-1]), whole)
    assert all(
        same(whole.take(np.arange(r.start, r.stop)), table(i, r.stop - r.start)) for i, r in whole.segments()
    )


def test_nothing_concatenates_to_an_empty_table():
    assert len(NodeTable.concatenate([])) == 0
    assert list(NodeTable.concatenate([]).segments()) == []


def test_a_node_that_comes_twice_is_refused():
    with pytest.raises(SkeletonError, match=f"node 0 of segment {ID} comes twice"):
        NodeTable.concatenate([table(ID, 2), table(ID, 1)])


def test_parent_rows_point_into_the_whole_table():
    whole = NodeTable.concatenate([table(2**64 - 1, 3), table(7, 2)])
    assert whole.parent_rows().tolist() == [-1, 0, -1, 2, 3]
    assert len(NodeTable.concatenate([]).parent_rows()) == 0
