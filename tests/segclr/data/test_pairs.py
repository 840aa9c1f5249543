import dataclasses

import networkx as nx
import numpy as np
import pytest
from scipy import stats

from segclr.config import PairConfig
from segclr.data.node_facts import cable_table
from segclr.data.nodes import NodeTable
from segclr.data.pairs import PairTable, allot_pairs, draw_pairs
from segclr.errors import DataError
from tests.segclr.data.test_tree import graph_of

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


def sample_pairs(table, config, *, held_out=(), seed=0):
    """Allot and draw at once, as the stages do it apart."""
    cables = cable_table(table)
    return draw_pairs(
        table,
        config,
        n_pairs=allot_pairs(cables["cable_nm"], config),
        held_out=np.isin(cables["segment_id"], np.array(sorted(held_out), np.uint64)),
        seed=seed,
    )


def probabilities(table, config):
    """Of each pair of rows, by the definition in ``segclr.data.pairs``, from networkx distances."""
    n, edges, weights = len(table), config.edges_nm, config.weights
    graph = graph_of(table.points_nm.astype(float), table.parent_rows())
    share = np.zeros((n, n))
    for a, found in nx.all_pairs_dijkstra_path_length(graph):
        bins = {}
        for b, gap in found.items():
            if b != a and edges[0] <= gap <= edges[-1]:
                bins.setdefault(min(np.searchsorted(edges, gap, "right") - 1, len(weights) - 1), []).append(b)
        total = sum(weights[i] for i in bins)
        for i, partners in bins.items():
            if weights[i]:
                share[a, partners] = weights[i] / total / len(partners)
    return share / max((share.sum(axis=1) > 0).sum(), 1)


def random_tree(n, seed, segment_id):
    """Straight edges of whole hundreds of nm, so that distances fall on edges of bins."""
    random = np.random.default_rng(seed)
    parents = [-1, *(int(random.integers(max(0, i - 3), i)) for i in range(1, n))]
    points = np.zeros((n, 3))
    for i, parent in enumerate(parents):
        if parent >= 0:
            points[i] = points[parent] + random.permutation([100.0 * random.integers(1, 6), 0, 0])
    table = chain(segment_id, n, parents=parents)
    return dataclasses.replace(table, points_nm=points.astype(np.float32))


@pytest.mark.parametrize(
    "config",
    [
        PairConfig(max_distance_nm=1200, n_bins=3),
        PairConfig(max_distance_nm=2000, bin_edges_nm=(100, 700), bin_weights=(5, 1, 2)),
        PairConfig(min_distance_nm=900, max_distance_nm=1500, bin_edges_nm=(1000,), bin_weights=(0, 1)),
    ],
)
def test_pairs_are_drawn_with_the_probabilities_of_the_definition(config):
    table = NodeTable.concatenate([random_tree(14, seed, IDS[seed]) for seed in (3, 4)])
    n_drawn = 30_000
    pairs = draw_pairs(
        table, config, n_pairs=np.array([n_drawn, n_drawn]), held_out=np.zeros(2, bool), seed=11
    )
    for segment_id, rows in table.segments():
        expected = probabilities(table.take(np.arange(rows.start, rows.stop)), config) * n_drawn
        observed = np.zeros(expected.shape)
        mine = pairs.segment_ids == np.uint64(segment_id)
        np.add.at(observed, (pairs.nodes_a[mine], pairs.nodes_b[mine]), 1)
        assert not observed[expected == 0].any()
        possible = expected > 0
        assert stats.chisquare(observed[possible], expected[possible]).pvalue > 1e-3


def test_one_anchor_among_thousands_is_found_and_drawn_alone():
    """Only the chain's two ends have a partner that far: anchors drawn at random miss them."""
    config = PairConfig(min_distance_nm=2_998_500, max_distance_nm=3e6, n_bins=1)
    pairs = draw_pairs(
        chain(IDS[4], 3000), config, n_pairs=np.array([40]), held_out=np.zeros(1, bool), seed=0
    )
    assert {tuple(p) for p in of_segment(pairs, IDS[4])} == {(0, 2999), (2999, 0)}
    assert len(pairs) == 40


def test_the_allotment_adds_up_and_is_within_one_of_the_exact_share():
    cables = np.random.default_rng(0).exponential(20_000, 1000)
    cables[:100] = 0
    config = PairConfig(n_pairs=12_345, length_power=0.7, min_distance_nm=50)
    counts = allot_pairs(cables, config)
    exact = np.where(cables >= 50, cables, 0) ** 0.7
    assert counts.sum() == 12_345
    assert not counts[:100].any()
    assert np.abs(counts - exact / exact.sum() * 12_345).max() <= 1


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
        (chain(IDS[3], 5, parents=[-1] * 5), PairConfig()),
    ],
)
def test_nodes_without_cable_enough_for_a_pair_are_an_error(table, config):
    with pytest.raises(DataError, match="no pair can be drawn"):
        sample_pairs(table, config)


def test_a_segment_without_partners_in_range_gets_no_pairs_and_the_others_get_theirs():
    table = NodeTable.concatenate([chain(IDS[3], 5), chain(IDS[4], 5, spacing=300.0)])
    pairs = sample_pairs(table, PairConfig(max_distance_nm=999, n_pairs=20, length_power=0))
    assert len(of_segment(pairs, IDS[4])) == len(pairs) == 10


def test_a_pair_exactly_at_the_shortest_distance_is_drawn():
    pairs = sample_pairs(
        chain(IDS[3], 2), PairConfig(min_distance_nm=1000, n_pairs=5), held_out=set(), seed=0
    )
    assert pairs.distances_nm.tolist() == [1000] * 5
