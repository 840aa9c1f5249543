import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segclr.data.skeleton import edge_lengths_nm
from segclr.data.tree import TICKS_PER_NM, Forest, path_from_root_nm
from segclr.errors import SkeletonError


@st.composite
def forests(draw, most=20):
    """Vertices in any order: a parent may have a higher number than its child."""
    n = draw(st.integers(1, most))
    parents = np.array([-1] + [draw(st.integers(-1, i - 1)) for i in range(1, n)])
    points = np.array(draw(st.lists(st.tuples(*[st.integers(0, 5000)] * 3), min_size=n, max_size=n)))
    name = np.array(draw(st.permutations(range(n))))
    shuffled, places = np.full(n, -1), np.empty((n, 3))
    shuffled[name] = np.where(parents >= 0, name[parents], -1)
    places[name] = points
    return places, shuffled


def graph_of(points, parents):
    graph = nx.Graph()
    graph.add_nodes_from(range(len(parents)))
    for child, parent in enumerate(parents):
        if parent >= 0:
            graph.add_edge(child, int(parent), weight=float(np.linalg.norm(points[child] - points[parent])))
    return graph


def all_distances(points, parents):
    found = dict(nx.all_pairs_dijkstra_path_length(graph_of(points, parents)))
    n = len(parents)
    return np.array([[found[a].get(b, np.inf) for b in range(n)] for a in range(n)])


@given(forests())
def test_path_from_root_equals_dijkstra(made):
    points, parents = made
    every = all_distances(points, parents)
    for root in np.flatnonzero(parents < 0):
        own = np.isfinite(every[root])
        np.testing.assert_allclose(path_from_root_nm(points, parents)[own], every[root][own], atol=1e-6)


@given(forests())
def test_distances_equal_dijkstra_and_there_is_none_to_another_tree(made):
    points, parents = made
    forest, n = Forest.of(points, parents), len(parents)
    a, b = forest.places[np.repeat(np.arange(n), n)], forest.places[np.tile(np.arange(n), n)]
    found = forest.distances(a, b).astype(float).reshape(n, n)
    found = np.where(found >= 0, found / TICKS_PER_NM, np.inf)
    np.testing.assert_allclose(found, all_distances(points, parents), atol=n / TICKS_PER_NM)


@given(forests())
def test_common_ancestors_equal_those_of_networkx(made):
    points, parents = made
    forest, n = Forest.of(points, parents), len(parents)
    whole = nx.DiGraph([(n, i) if p < 0 else (int(p), i) for i, p in enumerate(parents)])
    pairs = [(a, b) for a in range(n) for b in range(n)]
    expected = dict(nx.tree_all_pairs_lowest_common_ancestor(whole, root=n, pairs=pairs))
    places = forest.places[np.array(pairs)]
    found = forest.common_ancestors(places[:, 0], places[:, 1])
    for (a, b), place in zip(pairs, found, strict=True):
        ancestor = expected[a, b] if (a, b) in expected else expected[b, a]
        assert (n if place < 0 else forest.vertices[place]) == ancestor


@given(forests())
def test_a_subtree_is_a_range_of_places(made):
    points, parents = made
    forest = Forest.of(points, parents)
    assert np.array_equal(forest.places[forest.vertices], np.arange(len(parents)))
    children = nx.DiGraph((int(p), i) for i, p in enumerate(parents) if p >= 0)
    children.add_nodes_from(range(len(parents)))
    for vertex in range(len(parents)):
        place = forest.places[vertex]
        inside = forest.vertices[place : place + forest.sizes[place]]
        assert set(inside.tolist()) == nx.descendants(children, vertex) | {vertex}


def test_a_chain_of_many_vertices_is_exact():
    n = 5000
    points, parents = np.zeros((n, 3), np.float32), np.arange(-1, n - 1)
    points[:, 0] = np.arange(n) * 1500.0
    forest = Forest.of(points, parents)
    assert np.array_equal(forest.from_root[forest.places], np.arange(n) * 1500 * TICKS_PER_NM)
    assert np.array_equal(path_from_root_nm(points, parents), edge_lengths_nm(points, parents).cumsum())


def test_a_cycle_is_refused():
    with pytest.raises(SkeletonError, match="cycle"):
        Forest.of(np.zeros((3, 3)), np.array([1, 2, 0]))
