import builtins
import sys
import types

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segclr.data.skeleton_sources import open_skeletons
from segclr.data.skeleton_sources.l2 import join_around, spanning_forest
from segclr.errors import ConfigError, MissingDataError, SkeletonError
from tests.segclr.data.skeleton_sources.cave import ANSWERS, RecordedClient, served

RINGS, ONE_CHUNK, UNCACHED = 864691135591041291, 864691135489403194, 864691135800000033
OUTDATED, SUCCESSOR = 864691135000000001, 864691135700000017


@pytest.fixture(params=["recorded", "caveclient"])
def url(request, monkeypatch, tmp_path):
    """Of a datastack, behind an object with caveclient's interface or behind caveclient itself."""
    if request.param == "recorded":
        monkeypatch.setitem(sys.modules, "caveclient", types.SimpleNamespace(CAVEclient=RecordedClient))
        yield "l2://test_stack"
        return
    monkeypatch.setenv("HOME", str(tmp_path))
    with served() as address:
        yield f"l2://test_stack?server={address}"


def read(url, *ids):
    return open_skeletons(url).read(np.array(ids, dtype=np.uint64))


def expected_forest():
    """Points and edges of RINGS by networkx: the node without an entry contracted into its neighbours."""
    data = ANSWERS["attributes"]
    graph = nx.Graph(ANSWERS["lvl2_graph"][str(RINGS)]["edge_graph"])
    (absent,) = (n for n in graph if not data[str(n)])
    graph = nx.contracted_nodes(graph, min(graph[absent]), absent, self_loops=False, copy=True)
    for a, b, edge in graph.edges(data=True):
        edge["weight"] = np.linalg.norm(
            np.subtract(data[str(a)]["rep_coord_nm"], data[str(b)]["rep_coord_nm"])
        )
    return nx.minimum_spanning_tree(graph)


def test_a_level_2_graph_becomes_its_minimum_spanning_forest(url):
    batch = read(url, RINGS)
    (made,) = batch.skeletons
    forest, data = expected_forest(), ANSWERS["attributes"]
    nodes = sorted(forest)
    assert made.segment_id == RINGS
    assert made.points_nm.tolist() == [data[str(n)]["rep_coord_nm"] for n in nodes]
    assert made.radii_nm.tolist() == [data[str(n)]["max_dt_nm"] for n in nodes]
    edges = {frozenset((nodes[c], nodes[p])) for c, p in enumerate(made.parents) if p >= 0}
    weights = [forest.edges[tuple(e)]["weight"] if forest.has_edge(*e) else None for e in edges]
    assert sorted(weights) == sorted(w for _, _, w in forest.edges(data="weight"))
    assert batch.counts == {"chunks_without_point": 1, "segments_without_points": 0}


def test_a_segment_within_one_chunk_is_one_vertex(url):
    (made,) = read(url, ONE_CHUNK).skeletons
    assert (made.points_nm.tolist(), made.parents.tolist()) == ([[512, 512, 520]], [-1])


def test_a_segment_of_mostly_unknown_chunks_is_absent_and_counted(url):
    batch = read(url, ONE_CHUNK, UNCACHED)
    assert [s.segment_id for s in batch.skeletons] == [ONE_CHUNK]
    assert batch.absent.tolist() == [UNCACHED]
    assert batch.counts["segments_without_points"] == 1


def test_an_outdated_root_is_refused_with_its_successors(url):
    message = f"1 of 2 root ids are not current in l2://test_stack: {OUTDATED} .now {RINGS}, {SUCCESSOR}."
    with pytest.raises(SkeletonError, match=message):
        read(url, ONE_CHUNK, OUTDATED)


def test_a_root_that_never_was_is_absent(url):
    assert read(url, 2**53 + 1, ONE_CHUNK).absent.tolist() == [2**53 + 1]


def test_roots_are_asked_for_at_a_version(url):
    source = open_skeletons(url + ("&" if "?" in url else "?") + "version=1")
    assert source.url == "l2://test_stack?version=1"
    assert len(source.read(np.array([ONE_CHUNK], dtype=np.uint64)).skeletons) == 1


def test_no_ids_ask_nothing(url):
    assert read(url).skeletons == ()


def test_a_graph_cannot_list_its_segments(url):
    with pytest.raises(SkeletonError, match="give segment_ids"):
        open_skeletons(url).segment_ids()


def test_a_server_that_knows_no_such_datastack_is_missing_data(url):
    with pytest.raises(MissingDataError, match="does not answer"):
        read(url.replace("test_stack", "other"), ONE_CHUNK)


@pytest.mark.parametrize(
    "url", ["l2://a?timestamp=1", "l2://a?version=new", "l2://a?version=-1", "l2://?server=b"]
)
def test_what_may_stand_behind_the_datastack_is_said(url):
    with pytest.raises(ConfigError, match="allowed behind it are server=URL and version=NUMBER"):
        open_skeletons(url)


def test_a_unit_is_refused_since_the_cache_is_in_nm():
    with pytest.raises(ConfigError, match="leave out unit_nm"):
        open_skeletons("l2://a", unit_nm=1000.0)


def test_without_caveclient_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def absent(name, *args, **kwargs):
        if name == "caveclient":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ConfigError, match=r"segclr\[cave\]"):
        open_skeletons("l2://test_stack")


@st.composite
def graphs(draw):
    """Points [n, 3] on a coarse grid, so that lengths of 0 and ties come, and edges [m, 2]."""
    n = draw(st.integers(1, 12))
    node = st.integers(0, n - 1)
    edges = draw(st.lists(st.tuples(node, node), max_size=30))
    place = st.tuples(*[st.integers(0, 3)] * 3)
    points = draw(st.lists(place, min_size=n, max_size=n))
    return np.array(points, dtype=np.float64), np.array(edges, dtype=np.int64).reshape(-1, 2)


@given(graphs(), st.randoms())
def test_the_forest_is_as_short_as_networkxs_and_spans_the_same(graph, random):
    points, edges = graph
    reference = nx.Graph()
    reference.add_nodes_from(range(len(points)))
    reference.add_weighted_edges_from((a, b, np.linalg.norm(points[a] - points[b])) for a, b in edges)
    got = spanning_forest(points, edges)
    forest = nx.Graph(got.tolist())
    forest.add_nodes_from(range(len(points)))
    assert nx.is_forest(forest)
    assert set(map(frozenset, got.tolist())) <= set(map(frozenset, edges.tolist()))
    assert nx.number_connected_components(forest) == nx.number_connected_components(reference)
    length = np.linalg.norm(points[got[:, 0]] - points[got[:, 1]], axis=1).sum()
    assert length == pytest.approx(nx.minimum_spanning_tree(reference).size(weight="weight"))
    flipped = [e[::-1] for e in edges.tolist()]
    random.shuffle(flipped)
    assert np.array_equal(spanning_forest(points, np.array(flipped).reshape(-1, 2)), got)


@given(graphs(), st.data())
def test_what_hung_together_still_does_when_nodes_are_left_out(graph, data):
    points, edges = graph
    left_out = np.array(data.draw(st.lists(st.booleans(), min_size=len(points), max_size=len(points))))
    points[left_out] = np.nan
    joined = nx.Graph(join_around(spanning_forest(points, edges), left_out).tolist())
    stays = np.flatnonzero(~left_out)
    joined.add_nodes_from(range(len(stays)))
    reference = nx.Graph(edges.tolist())
    reference.add_nodes_from(range(len(points)))
    pieces = [{i for i, n in enumerate(stays) if n in piece} for piece in nx.connected_components(reference)]
    assert nx.is_empty(joined) or nx.is_forest(joined)
    assert sorted(map(sorted, nx.connected_components(joined))) == sorted(sorted(p) for p in pieces if p)
