import re

import networkx as nx
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from segclr.data.skeleton import Skeleton, edge_lengths_nm, root_forest, topological_order
from segclr.errors import SkeletonError

ID = 2**63 + 5


@st.composite
def forests(draw, max_size=30):
    """Parents in any order: a random forest, its vertices shuffled."""
    n = draw(st.integers(1, max_size))
    parents = [-1] + [draw(st.integers(-1, i - 1)) for i in range(1, n)]
    order = draw(st.permutations(range(n)))
    shuffled = np.full(n, -1)
    for child, parent in enumerate(parents):
        shuffled[order[child]] = -1 if parent < 0 else order[parent]
    return shuffled.astype(np.int32)


def skeleton(parents, points=None):
    n = len(parents)
    points = np.zeros((n, 3), np.float32) if points is None else np.asarray(points, np.float32)
    return Skeleton(ID, points, np.asarray(parents, np.int32), np.ones(n, np.float32))


@given(forests())
def test_parents_come_before_children(parents):
    order = topological_order(parents)
    assert sorted(order) == list(range(len(parents)))
    place = np.argsort(order)
    assert all(place[p] < place[c] for c, p in enumerate(parents) if p >= 0)


@given(forests(), st.data())
def test_a_cycle_anywhere_is_refused(parents, data):
    tip = data.draw(st.integers(0, len(parents) - 1))
    root = tip
    while parents[root] >= 0:
        root = parents[root]
    parents[root] = tip  # closes the path from root to tip; a loop of one where they are the same
    with pytest.raises(SkeletonError, match="cycle"):
        skeleton(parents)


@pytest.mark.parametrize("parents", [[-1, 2], [-1, -2], [5, -1]])
def test_a_parent_that_does_not_exist_is_refused(parents):
    with pytest.raises(SkeletonError, match=rf"segment {ID}.*parent must be"):
        skeleton(parents)


def test_shapes_that_differ_are_refused():
    with pytest.raises(SkeletonError, match="allowed are"):
        Skeleton(ID, np.zeros((3, 3), np.float32), np.array([-1, 0], np.int32), np.ones(3, np.float32))
    with pytest.raises(SkeletonError, match="allowed are"):
        Skeleton(ID, np.zeros((3, 2), np.float32), np.array([-1, 0, 1], np.int32), np.ones(3, np.float32))


@given(forests(), st.randoms())
def test_rooting_keeps_the_edges_and_takes_the_lowest_vertex_of_each_tree(parents, random):
    edges = [(c, int(p)) for c, p in enumerate(parents) if p >= 0]
    graph = nx.Graph(edges)
    graph.add_nodes_from(range(len(parents)))
    flipped = [
        e if random.random() < 0.5 else e[::-1] for e in edges + edges[:2]
    ]  # repeated edges count once
    random.shuffle(flipped)
    rooted = root_forest(np.array(flipped, dtype=np.int64).reshape(-1, 2), len(parents))
    assert {frozenset((c, int(p))) for c, p in enumerate(rooted) if p >= 0} == {frozenset(e) for e in edges}
    assert sorted(np.flatnonzero(rooted < 0)) == sorted(min(tree) for tree in nx.connected_components(graph))
    topological_order(rooted)


@pytest.mark.parametrize("edges", [[(0, 1), (1, 2), (2, 0)], [(0, 0)], [(3, 4), (4, 5), (5, 3), (0, 1)]])
def test_edges_that_make_a_cycle_are_refused(edges):
    with pytest.raises(SkeletonError, match="cycle"):
        root_forest(np.array(edges), 6)


@pytest.mark.parametrize("edges", [[(0, 6)], [(-1, 2)]])
def test_an_edge_to_no_vertex_is_refused(edges):
    with pytest.raises(SkeletonError, match="must join"):
        root_forest(np.array(edges), 6)


def test_a_vertex_without_edges_is_a_tree_of_its_own():
    assert root_forest(np.zeros((0, 2), np.int64), 3).tolist() == [-1, -1, -1]


def test_cable_length_is_the_sum_of_all_edges():
    made = skeleton([-1, 0, 1, 0], [[0, 0, 0], [3, 4, 0], [3, 4, 12], [0, 0, 7]])
    assert edge_lengths_nm(made.points_nm, made.parents).tolist() == [0, 5, 12, 7]
    assert made.cable_length_nm == 24


def test_a_path_of_a_hundred_thousand_vertices_is_ordered():
    n = 100_000
    parents = np.r_[np.arange(1, n), -1]
    assert np.array_equal(topological_order(parents), np.arange(n)[::-1])


@given(forests(), st.data())
def test_a_cycle_names_the_segment_and_an_edge_of_it(parents, data):
    edges = [(c, int(p)) for c, p in enumerate(parents) if p >= 0]
    graph = nx.Graph(edges)
    graph.add_nodes_from(range(len(parents)))
    tree = sorted(data.draw(st.sampled_from(sorted(map(sorted, nx.connected_components(graph))))))
    a, b = (data.draw(st.sampled_from(tree)) for _ in range(2))
    assume(not graph.has_edge(a, b))
    graph.add_edge(a, b)
    points = np.zeros((len(parents), 3))
    with pytest.raises(SkeletonError, match=rf"segment {ID}: .*cycle") as caught:
        Skeleton.from_edges(ID, points_nm=points, edges=np.array(graph.edges), radii_nm=np.ones(len(points)))
    named = tuple(map(int, re.search(r"edge from vertex (\d+) to (\d+)", str(caught.value)).groups()))
    assert named == (a, a) == (b, b) or named in graph.edges
    graph.remove_edge(*named)
    assert nx.is_forest(graph)  # so the edge was one of the cycle


@given(forests(), st.data())
def test_a_cycle_of_parents_names_an_edge_of_it(parents, data):
    tip = data.draw(st.integers(0, len(parents) - 1))
    path = [tip]
    while parents[path[-1]] >= 0:
        path.append(int(parents[path[-1]]))
    parents[path[-1]] = tip
    with pytest.raises(SkeletonError) as caught:
        topological_order(parents)
    named = tuple(map(int, re.search(r"edge from vertex (\d+) to (\d+)", str(caught.value)).groups()))
    assert named in set(zip(path, [*path[1:], tip], strict=True))


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_vertex_at_no_finite_place_is_refused(wrong):
    with pytest.raises(SkeletonError, match=rf"segment {ID}: 1 of 2 vertices .* vertex 1"):
        skeleton([-1, 0], [[0, 0, 0], [0, wrong, 0]])


def test_a_skeleton_of_nothing_has_no_tree():
    empty = np.zeros((0, 3))
    made = Skeleton.from_edges(ID, points_nm=empty, edges=empty[:, :2].astype(int), radii_nm=empty[:, 0])
    assert (len(made), made.cable_length_nm) == (0, 0)
