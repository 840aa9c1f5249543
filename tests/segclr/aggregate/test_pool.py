import networkx as nx
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from segclr.aggregate import AttentionPooling, aggregate
from segclr.errors import ConfigError, DataError
from segclr.store.embeddings import EmbeddingTable

IDS = np.array([2**63 + 5, 2**64 - 1, 864691135591041291, 7], dtype=np.uint64)


@st.composite
def tables(draw):
    """Nodes of a few segments on a coarse grid (so that distances tie), with random trees, shuffled."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = draw(st.lists(st.integers(1, 25), min_size=1, max_size=4))
    n = sum(sizes)
    segment_ids = np.repeat(IDS[: len(sizes)], sizes)
    node_ids = np.concatenate([rng.permutation(200)[:k] for k in sizes]).astype(np.uint32)
    parents = np.full(n, -1, dtype=np.int32)
    start = 0
    for size in sizes:
        for i in range(1, size):
            if rng.random() > 0.15:
                parents[start + i] = node_ids[start + rng.integers(0, i)]
        start += size
    return EmbeddingTable(
        segment_ids=segment_ids,
        node_ids=node_ids,
        points_nm=rng.integers(0, draw(st.sampled_from([2, 6, 30])), (n, 3)) * 500.0,
        parents=parents,
        embeddings=rng.standard_normal((n, 3)).astype(np.float32),
    ).take(rng.permutation(n))


def naive_distances(table, metric):
    """All distances by double loop; networkx walks the trees."""
    n, graph = len(table), nx.Graph()
    row_of = {
        (int(s), int(k)): i for i, (s, k) in enumerate(zip(table.segment_ids, table.node_ids, strict=True))
    }
    points = table.points_nm.astype(float)
    graph.add_nodes_from(range(n))
    for i in range(n):
        if table.parents[i] >= 0:
            j = row_of[int(table.segment_ids[i]), int(table.parents[i])]
            graph.add_edge(i, j, weight=float(np.linalg.norm(points[i] - points[j])))
    distances = np.full((n, n), np.inf)
    for i in range(n):
        if metric == "path":
            for j, d in nx.single_source_dijkstra_path_length(graph, i).items():
                distances[i, j] = d
        else:
            for j in np.flatnonzero(table.segment_ids == table.segment_ids[i]):
                distances[i, j] = np.linalg.norm(points[i] - points[j])
    return distances


def star_and_chain(**changes):
    """A chain 1 - 2 - 3 and a lone node 9 at the place of node 1, 1000 nm apart, in one segment."""
    columns = {
        "segment_ids": np.full(4, IDS[0]),
        "node_ids": [1, 2, 3, 9],
        "points_nm": np.array([[0, 0, 0], [1000, 0, 0], [2000, 0, 0], [0, 0, 0]], dtype=np.float32),
        "parents": [-1, 1, 2, -1],
        "embeddings": np.array([[1.0], [2.0], [4.0], [8.0]], dtype=np.float32),
    }
    return EmbeddingTable(**(columns | changes))


@settings(max_examples=60)
@given(table=tables(), radius_um=st.sampled_from([0.0, 0.5, 1.0, 1.3, 2.5, 12.0]))
@pytest.mark.parametrize("metric", ["euclidean", "path"])
def test_equals_a_naive_double_loop(table, radius_um, metric):
    distances = naive_distances(table, metric)
    # A sum of square roots may fall on either side of a radius it equals; whole multiples may not.
    finite = distances[np.isfinite(distances)]
    near = np.abs(finite - radius_um * 1000) < 1e-6
    assume((finite[near] == radius_um * 1000).all())
    mask = distances <= radius_um * 1000
    got = aggregate(table, radius_um=radius_um, metric=metric)
    np.testing.assert_array_equal(got.n_nodes, mask.sum(axis=1))
    want = (mask @ table.embeddings.astype(float)) / mask.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(got.embeddings, want, rtol=0, atol=1e-6)


def attention(dim):
    random = np.random.default_rng(0)
    out = random.uniform(-1, 1, 4)
    return AttentionPooling(hidden=random.standard_normal((4, dim)), bias=np.zeros(4), out=out)


@settings(max_examples=40)
@given(table=tables(), radius_um=st.sampled_from([0.0, 0.75, 1.3, 2.6, 12.1]))
@pytest.mark.parametrize("metric", ["euclidean", "path"])
def test_options_equal_a_naive_loop_over_neighbourhoods(table, radius_um, metric):
    distances = naive_distances(table, metric)
    finite = distances[np.isfinite(distances)]
    assume((np.abs(finite - radius_um * 1000) > 1e-6).all() or radius_um == 0)
    pooling, x = attention(3), table.embeddings.astype(float)
    plain = aggregate(table, radius_um=radius_um, metric=metric, spread=True)
    gaussian = aggregate(table, radius_um=radius_um, metric=metric, weighting="gaussian")
    attended = aggregate(table, radius_um=radius_um, metric=metric, weighting=pooling)
    for i, row in enumerate(distances):
        near = np.flatnonzero(row <= radius_um * 1000)
        assert plain.n_nodes[i] == gaussian.n_nodes[i] == attended.n_nodes[i] == len(near)
        np.testing.assert_allclose(plain.spread[i], x[near].std(axis=0), atol=1e-6)
        sigma = radius_um * 1000 / 2
        kernel = np.exp(-(row[near] ** 2) / (2 * sigma**2)) if radius_um else np.ones(len(near))
        np.testing.assert_allclose(gaussian.embeddings[i], np.average(x[near], 0, kernel), atol=1e-6)
        score = np.tanh(x[near] @ pooling.hidden.T.astype(float)) @ pooling.out.astype(float)
        want = np.average(x[near], 0, np.exp(score))
        np.testing.assert_allclose(attended.embeddings[i], want, atol=1e-6)


def test_spread_far_from_zero_does_not_cancel():
    table = star_and_chain(embeddings=np.array([[1e6], [1e6 + 1], [1e6 + 2], [1e6 + 1]]))
    np.testing.assert_allclose(aggregate(table, radius_um=50, spread=True).spread, np.sqrt(0.5), rtol=1e-6)


def test_a_node_alone_has_no_spread_and_none_is_given_unasked():
    got = aggregate(
        star_and_chain(embeddings=np.full((4, 1), 0.1)), radius_um=0.5, metric="path", spread=True
    )
    np.testing.assert_array_equal(got.spread, np.zeros((4, 1), dtype=np.float32))
    assert aggregate(star_and_chain(), radius_um=1).spread is None


@pytest.mark.parametrize("metric", ["euclidean", "path"])
def test_threads_give_the_same_bits(metric):
    rng = np.random.default_rng(0)
    n = 3000
    table = EmbeddingTable(
        segment_ids=np.sort(rng.integers(2**63, 2**63 + 3, n, dtype=np.uint64)),
        node_ids=rng.permutation(n),
        points_nm=np.cumsum(rng.standard_normal((n, 3)) * 800, axis=0),
        parents=np.full(n, -1),
        embeddings=rng.standard_normal((n, 4)),
    )
    one, three = (aggregate(table, radius_um=5, metric=metric, spread=True, threads=t) for t in (1, 3))
    np.testing.assert_array_equal(one.embeddings, three.embeddings)
    np.testing.assert_array_equal(one.spread, three.spread)


@settings(max_examples=30)
@given(table=tables(), seed=st.integers(0, 1000))
@pytest.mark.parametrize("metric", ["euclidean", "path"])
def test_does_not_depend_on_the_order_of_rows_to_the_last_bit(table, seed, metric):
    order = np.random.default_rng(seed).permutation(len(table))
    got = aggregate(table.take(order), radius_um=1.5, metric=metric)
    want = aggregate(table, radius_um=1.5, metric=metric).take(order)
    np.testing.assert_array_equal(got.embeddings, want.embeddings)
    np.testing.assert_array_equal(got.n_nodes, want.n_nodes)


@settings(max_examples=20)
@given(table=tables())
def test_segments_one_by_one_equal_the_whole_table(table):
    whole = aggregate(table, radius_um=1.5, metric="path")
    for segment in np.unique(table.segment_ids):
        rows = table.segment_ids == segment
        alone = aggregate(table.take(rows), radius_um=1.5, metric="path")
        np.testing.assert_array_equal(alone.embeddings, whole.embeddings[rows])


def test_a_large_radius_gives_the_mean_of_the_segment():
    table = star_and_chain()
    got = aggregate(table, radius_um=1e6)
    np.testing.assert_allclose(got.embeddings, np.full((4, 1), 3.75))
    assert got.n_nodes.tolist() == [4, 4, 4, 4]


def test_nodes_of_another_tree_are_infinitely_far_along_the_path():
    got = aggregate(star_and_chain(), radius_um=1e6, metric="path")
    np.testing.assert_allclose(got.embeddings[:, 0], [7 / 3, 7 / 3, 7 / 3, 8])
    assert got.n_nodes.tolist() == [3, 3, 3, 1]


def test_radius_zero_is_the_identity_where_no_two_nodes_coincide():
    table = star_and_chain(points_nm=np.arange(12, dtype=np.float32).reshape(4, 3))
    for metric in ("euclidean", "path"):
        got = aggregate(table, radius_um=0, metric=metric)
        np.testing.assert_array_equal(got.embeddings, table.embeddings)
        assert got.n_nodes.tolist() == [1, 1, 1, 1]


def test_radius_zero_averages_nodes_at_the_very_same_place():
    got = aggregate(star_and_chain(), radius_um=0)
    np.testing.assert_array_equal(got.embeddings[:, 0], [4.5, 2, 4, 4.5])


def test_a_node_exactly_at_the_radius_counts():
    for metric in ("euclidean", "path"):
        got = aggregate(star_and_chain(), radius_um=1, metric=metric)
        assert got.n_nodes[1] == (3 if metric == "path" else 4)


def test_keeps_ids_points_and_parents_of_the_input():
    table = star_and_chain()
    got = aggregate(table, radius_um=1)
    assert got.segment_ids.dtype == np.uint64
    assert got.embeddings.dtype == np.float32
    assert got.n_nodes.dtype == np.int32
    for name in ("segment_ids", "node_ids", "points_nm", "parents"):
        np.testing.assert_array_equal(getattr(got, name), getattr(table, name))


def test_ids_that_differ_below_float_precision_stay_apart():
    table = star_and_chain(
        segment_ids=np.array([2**63, 2**63 + 1, 2**63, 2**63 + 1], dtype=np.uint64), parents=[-1, -1, 1, -1]
    )
    assert aggregate(table, radius_um=10).n_nodes.tolist() == [2, 2, 2, 2]


def test_an_empty_table_stays_empty():
    table = star_and_chain().take(np.zeros(4, dtype=bool))
    for metric in ("euclidean", "path"):
        for weighting in ("uniform", "gaussian", attention(1)):
            got = aggregate(table, radius_um=5, metric=metric, weighting=weighting, spread=True)
            assert len(got.n_nodes) == len(got.spread) == 0


@pytest.mark.parametrize(
    ("changes", "metric", "message"),
    [
        ({"parents": None}, "path", "needs the parents"),
        ({"parents": [-1, 1, 77, -1]}, "path", "node 3 of segment 9223372036854775813: parent 77"),
        ({"parents": [-1, 1, -2, -1]}, "path", "parent -2"),
        ({"parents": [2, 1, 2, -1]}, "path", "cycle"),
        ({"parents": [1, 1, 2, -1]}, "path", "cycle"),
        ({"node_ids": [1, 2, 3, 3]}, "euclidean", "must be unique"),
        ({"embeddings": np.array([[0], [np.nan], [0], [0]])}, "euclidean", "embeddings must be finite"),
        ({"points_nm": np.full((4, 3), np.inf)}, "path", "points_nm must be finite"),
    ],
)
def test_contradictory_tables_are_refused(changes, metric, message):
    with pytest.raises(DataError, match=message):
        aggregate(star_and_chain(**changes), radius_um=1, metric=metric)


@pytest.mark.parametrize("radius_um", [-1, np.nan, np.inf])
def test_impossible_radii_are_refused(radius_um):
    with pytest.raises(ConfigError, match="radius_um"):
        aggregate(star_and_chain(), radius_um=radius_um)


def test_an_unknown_metric_is_refused():
    with pytest.raises(ConfigError, match="euclidean, path"):
        aggregate(star_and_chain(), radius_um=1, metric="manhattan")


def test_unknown_options_are_refused():
    with pytest.raises(ConfigError, match="uniform, gaussian or an AttentionPooling, got 'linear'"):
        aggregate(star_and_chain(), radius_um=1, weighting="linear")
    with pytest.raises(ConfigError, match="threads must be 1 or more"):
        aggregate(star_and_chain(), radius_um=1, threads=0)
    with pytest.raises(DataError, match="fitted on 3 dimensions"):
        aggregate(star_and_chain(), radius_um=1, weighting=attention(3))
