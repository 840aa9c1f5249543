import networkx as nx
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from segclr.aggregate.sides import edge_sides
from segclr.errors import ConfigError, DataError, SkeletonError
from segclr.store.embeddings import EmbeddingTable

IDS = np.array([2**63 + 5, 2**64 - 1, 864691135591041291, 7], dtype=np.uint64)


@st.composite
def tables(draw):
    """Nodes of a few segments on a coarse grid (so that distances tie), with random forests, shuffled."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = draw(st.lists(st.integers(1, 25), min_size=1, max_size=4))
    reach = draw(st.sampled_from([1, 3, 25]))  # 1: chains, 25: bushes
    n = sum(sizes)
    node_ids = np.concatenate([rng.permutation(200)[:k] for k in sizes]).astype(np.uint32)
    parents = np.full(n, -1, dtype=np.int32)
    start = 0
    for size in sizes:
        for i in range(1, size):
            if rng.random() > 0.1:
                parents[start + i] = node_ids[start + rng.integers(max(0, i - reach), i)]
        start += size
    return EmbeddingTable(
        segment_ids=np.repeat(IDS[: len(sizes)], sizes),
        node_ids=node_ids,
        points_nm=rng.integers(0, draw(st.sampled_from([2, 6, 30])), (n, 3)) * 500.0,
        parents=parents,
        embeddings=rng.standard_normal((n, 3)).astype(np.float32),
    ).take(rng.permutation(n))


def graph_of(table):
    """The trees as a graph of rows, and the edges (child, parent) in the order of (segment, child)."""
    keys = zip(table.segment_ids.tolist(), table.node_ids.tolist(), strict=True)
    row_of = {key: row for row, key in enumerate(keys)}
    graph, edges = nx.Graph(), []
    graph.add_nodes_from(range(len(table)))
    points = table.points_nm.astype(float)
    for (segment, _), child in sorted(row_of.items()):
        if table.parents[child] >= 0:
            parent = row_of[segment, int(table.parents[child])]
            graph.add_edge(child, parent, weight=float(np.linalg.norm(points[child] - points[parent])))
            edges.append((child, parent))
    return graph, edges


@settings(max_examples=100)
@given(table=tables(), radius_um=st.sampled_from([0.0, 0.5, 1.0, 1.3, 2.5, 1000.0]))
def test_equals_cutting_each_edge_and_measuring_paths_on_either_side(table, radius_um):
    got = edge_sides(table, radius_um=radius_um)
    graph, edges = graph_of(table)
    assert list(zip(got.rows.tolist(), got.parent_rows.tolist(), strict=True)) == edges
    for number, (child, parent) in enumerate(edges):
        cut = graph.copy()
        cut.remove_edge(child, parent)
        for side, start in ((got.below, child), (got.above, parent)):
            paths = nx.single_source_dijkstra_path_length(cut, start)
            # A sum of square roots may fall on either side of a radius it equals; whole multiples may not.
            assume(all(d == radius_um * 1000 or abs(d - radius_um * 1000) > 1e-6 for d in paths.values()))
            values = table.embeddings[[n for n, d in paths.items() if d <= radius_um * 1000]].astype(float)
            assert side.n_nodes[number] == len(values)
            np.testing.assert_allclose(side.means[number], values.mean(axis=0), rtol=0, atol=1e-13)
            spread = ((values - values.mean(axis=0)) ** 2).sum(axis=1).mean()
            np.testing.assert_allclose(side.variances[number], spread, rtol=0, atol=1e-12)


@settings(max_examples=30)
@given(table=tables(), radius_um=st.sampled_from([0.5, 2.5, 1000.0]))
def test_both_sides_together_are_the_whole_tree_at_a_radius_that_reaches_all(table, radius_um):
    sides = edge_sides(table, radius_um=1000.0)
    graph, _ = graph_of(table)
    for child, below, above in zip(sides.rows, sides.below.n_nodes, sides.above.n_nodes, strict=True):
        assert below + above == len(nx.node_connected_component(graph, int(child)))


@settings(max_examples=30)
@given(table=tables(), seed=st.integers(0, 9))
def test_the_order_of_rows_and_other_segments_change_no_bit(table, seed):
    whole = edge_sides(table, radius_um=2.5)
    order = np.random.default_rng(seed).permutation(len(table))
    shuffled = edge_sides(table.take(order), radius_um=2.5)
    np.testing.assert_array_equal(order[shuffled.rows], whole.rows)
    np.testing.assert_array_equal(shuffled.above.means, whole.above.means)
    np.testing.assert_array_equal(shuffled.below.means, whole.below.means)
    one = table.take(table.segment_ids == table.segment_ids[0])
    mine = table.segment_ids[whole.rows] == table.segment_ids[0]
    np.testing.assert_array_equal(edge_sides(one, radius_um=2.5).below.means, whole.below.means[mine])


@settings(max_examples=30)
@given(table=tables(), max_pairs=st.sampled_from([1, 7, 60]))
def test_small_blocks_equal_one_large_block(table, max_pairs):
    whole, small = (edge_sides(table, radius_um=2.5, max_pairs=m) for m in (10**9, max_pairs))
    for side in ("below", "above"):
        np.testing.assert_array_equal(getattr(small, side).means, getattr(whole, side).means)
        np.testing.assert_array_equal(getattr(small, side).n_nodes, getattr(whole, side).n_nodes)


def chain(**changes):
    """Node 0 - 1 - 2 - 3 along x, 1000 nm apart."""
    columns = {
        "segment_ids": np.full(4, IDS[0]),
        "node_ids": np.arange(4),
        "points_nm": np.outer(np.arange(4), [1000, 0, 0]).astype(np.float32),
        "parents": np.arange(4) - 1,
        "embeddings": np.array([[1.0], [2.0], [4.0], [8.0]], dtype=np.float32),
    }
    return EmbeddingTable(**(columns | changes))


def test_the_length_of_the_edge_does_not_count():
    points = np.array([[0, 0, 0], [1000, 0, 0], [90_000, 0, 0], [91_000, 0, 0]], dtype=np.float32)
    sides = edge_sides(chain(points_nm=points), radius_um=1.0)
    assert sides.below.means[1] == 6.0
    assert sides.above.means[1] == 1.5


def test_embeddings_far_from_zero_keep_their_spread():
    far = np.array([[1e6], [1e6 + 1], [1e6], [1e6 + 1]], dtype=np.float32)
    sides = edge_sides(chain(embeddings=far), radius_um=1.0)
    assert sides.below.variances[1] == pytest.approx(0.25, rel=1e-6)


def test_a_lone_node_has_no_edge():
    assert len(edge_sides(chain().take(np.array([0])), radius_um=1.0)) == 0
    assert len(edge_sides(chain().take(np.array([], dtype=int)), radius_um=1.0)) == 0


@pytest.mark.parametrize(
    ("changes", "radius_um", "error", "words"),
    [
        ({}, -1.0, ConfigError, "radius_um must be finite and 0 or more, got -1.0"),
        ({}, np.inf, ConfigError, "finite"),
        ({"parents": None}, 1.0, DataError, "need the parents"),
        ({"parents": [-1, 0, 1, 9]}, 1.0, DataError, "node 3 of segment 9223372036854775813: parent 9"),
        ({"parents": [1, 0, 1, 2]}, 1.0, SkeletonError, "cycle"),
        ({"node_ids": [0, 1, 2, 2]}, 1.0, DataError, "unique"),
        ({"embeddings": np.array([[1], [np.nan], [2], [3]])}, 1.0, DataError, "node 1 of segment 92233"),
    ],
)
def test_what_has_no_sides_is_told(changes, radius_um, error, words):
    with pytest.raises(error, match=words):
        edge_sides(chain(**changes), radius_um=radius_um)
