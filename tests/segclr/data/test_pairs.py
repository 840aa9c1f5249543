import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segclr.config import PairConfig
from segclr.data.nodes import NodeTable
from segclr.data.pairs import PairTable, distances_from_node_nm, sample_pairs
from segclr.errors import DataError

IDS = [7, 2**53, 2**53 + 1, 2**63 + 5, 2**64 - 1]


def chain(segment_id, n, spacing=1000.0, parents=None):
    points = np.zeros((n, 3), np.float32)
    points[:, 0] = np.arange(n) * spacing
    return NodeTable(
        segment_ids=np.full(n, segment_id, np.uint64),
        node_ids=np.arange(n, dtype=np.uint32),
        points_nm=points,
        radii_nm=np.ones(n, np.float32),
        parents=np.arange(-1, n - 1, dtype=np.int32) if parents is None else np.asarray(parents, np.int32),
    )


def nodes(sizes=(4, 9, 12, 20, 30)):
    return NodeTable.concatenate([chain(i, n) for i, n in zip(IDS, sizes, strict=True)])


def of_segment(pairs, segment_id):
    rows = pairs.segment_ids == np.uint64(segment_id)
    return [(int(a), int(b)) for a, b in zip(pairs.nodes_a[rows], pairs.nodes_b[rows], strict=True)]


@st.composite
def forests(draw):
    n = draw(st.integers(1, 20))
    parents = [-1] + [draw(st.integers(-1, i - 1)) for i in range(1, n)]
    points = draw(st.lists(st.tuples(*[st.integers(0, 5000)] * 3), min_size=n, max_size=n))
    return np.array(points, np.float32), np.array(parents, np.int32)


@given(forests(), st.data())
def test_distances_equal_dijkstra_and_are_infinite_to_other_trees(forest, data):
    points, parents = forest
    graph = nx.Graph()
    graph.add_nodes_from(range(len(parents)))
    for child, parent in enumerate(parents):
        if parent >= 0:
            a, b = points[child].astype(float), points[parent].astype(float)
            graph.add_edge(child, int(parent), weight=float(np.linalg.norm(a - b)))
    source = data.draw(st.integers(0, len(parents) - 1))
    found = nx.single_source_dijkstra_path_length(graph, source)
    expected = np.array([found.get(i, np.inf) for i in range(len(parents))])
    got = distances_from_node_nm(source, points_nm=points, parents=parents)
    np.testing.assert_allclose(got, expected, atol=1e-3)


@pytest.mark.parametrize(("low", "high"), [(0, 150_000), (3000, 7000), (2000, 2500), (0, 1000)])
def test_both_nodes_lie_within_the_distances_and_differ(low, high):
    table = nodes()
    pairs = sample_pairs(
        table, PairConfig(min_distance_nm=low, max_distance_nm=high, n_pairs=400), held_out=set(), seed=1
    )
    assert len(pairs) == 400
    gap = np.abs(pairs.nodes_a.astype(int) - pairs.nodes_b.astype(int)) * 1000.0
    np.testing.assert_allclose(pairs.distances_nm, gap)
    assert ((gap >= max(low, 1)) & (gap <= high)).all()
    sizes = {i: r.stop - r.start for i, r in table.segments()}
    assert all(
        max(a, b) < sizes[int(i)]
        for i, a, b in zip(pairs.segment_ids, pairs.nodes_a, pairs.nodes_b, strict=True)
    )
    assert pairs.segment_ids.dtype == np.uint64
    assert (np.diff(pairs.segment_ids.astype(object)) >= 0).all()


def test_no_pair_joins_two_trees_of_a_segment():
    table = chain(IDS[3], 20, parents=[-1, *range(9), -1, *range(10, 19)])
    pairs = sample_pairs(table, PairConfig(n_pairs=300), held_out=set(), seed=0)
    assert ((pairs.nodes_a < 10) == (pairs.nodes_b < 10)).all()
    assert (pairs.nodes_a < 10).any()
    assert (pairs.nodes_a >= 10).any()


def test_the_same_seed_draws_the_same_pairs_and_another_seed_others():
    drawn = [sample_pairs(nodes(), PairConfig(n_pairs=200), held_out=set(), seed=s) for s in (3, 3, 4)]
    assert all(np.array_equal(v, drawn[1].columns()[k]) for k, v in drawn[0].columns().items())
    assert not np.array_equal(drawn[0].nodes_b, drawn[2].nodes_b)


def test_a_segments_draws_do_not_depend_on_the_other_segments():
    config = PairConfig(n_pairs=250, length_power=0)  # 50 a segment
    whole = sample_pairs(nodes(), config, held_out=set(), seed=5)
    alone = sample_pairs(chain(IDS[2], 12), config.model_copy(update={"n_pairs": 50}), held_out=set(), seed=5)
    assert of_segment(whole, IDS[2]) == of_segment(alone, IDS[2])
    longer = sample_pairs(nodes((4, 9, 12, 20, 77)), config, held_out={IDS[2]}, seed=5)
    assert of_segment(longer, IDS[2]) == of_segment(alone, IDS[2])


def test_segments_that_differ_in_the_lowest_bit_only_draw_differently():
    table = NodeTable.concatenate([chain(2**53, 40), chain(2**53 + 1, 40), chain(2**53 + 2**32, 40)])
    pairs = sample_pairs(table, PairConfig(n_pairs=90, length_power=0), held_out=set(), seed=5)
    drawn = [of_segment(pairs, i) for i in (2**53, 2**53 + 1, 2**53 + 2**32)]
    assert drawn[0] != drawn[1]
    assert drawn[0] != drawn[2]


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_segments_are_drawn_by_their_cable_length_to_the_power(power):
    pairs = sample_pairs(nodes(), PairConfig(n_pairs=1000, length_power=power), held_out=set(), seed=0)
    weights = np.array([3, 8, 11, 19, 29]) ** power
    shares = [len(of_segment(pairs, i)) for i in IDS]
    assert np.abs(shares - 1000 * weights / weights.sum()).max() <= 1


def test_bins_of_distance_are_drawn_alike():
    config = PairConfig(n_pairs=4000, max_distance_nm=20_000, n_bins=4)
    pairs = sample_pairs(chain(IDS[4], 200), config, held_out=set(), seed=0)
    counts, _ = np.histogram(pairs.distances_nm, bins=[0, 5000, 10_000, 15_000, 20_001])
    assert (np.abs(counts - 1000) < 150).all()


def test_held_out_segments_are_marked_and_round_trip():
    pairs = sample_pairs(nodes(), PairConfig(n_pairs=100), held_out={2**53 + 1, 2**64 - 1}, seed=0)
    expected = [int(i) in (2**53 + 1, 2**64 - 1) for i in pairs.segment_ids]
    assert pairs.held_out.tolist() == expected
    columns = pairs.columns()
    assert set(columns["split"]) == {"train", "validation"}
    again = PairTable.from_columns(columns)
    assert all(np.array_equal(v, again.columns()[k]) for k, v in columns.items())


@pytest.mark.parametrize(
    ("table", "config"),
    [
        (chain(IDS[3], 1), PairConfig()),
        (NodeTable.concatenate([]), PairConfig()),
        (chain(IDS[3], 3, spacing=0.0), PairConfig()),
        (chain(IDS[3], 5), PairConfig(min_distance_nm=5000)),
        (chain(IDS[3], 5), PairConfig(max_distance_nm=999)),
        (chain(IDS[3], 5, parents=[-1] * 5), PairConfig()),
    ],
)
def test_nodes_that_allow_no_pair_are_an_error(table, config):
    with pytest.raises(DataError, match="no pair can be drawn"):
        sample_pairs(table, config, held_out=set(), seed=0)


def test_a_pair_exactly_at_the_shortest_distance_is_drawn():
    pairs = sample_pairs(
        chain(IDS[3], 2), PairConfig(min_distance_nm=1000, n_pairs=5), held_out=set(), seed=0
    )
    assert pairs.distances_nm.tolist() == [1000] * 5
