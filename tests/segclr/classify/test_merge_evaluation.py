from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_auc_score

from segclr.classify import MergeProtocol, evaluate_merges, fit_merge_finder
from segclr.classify import merge_evaluation as module
from segclr.classify.artificial_merges import find_contacts, join_cells
from segclr.classify.merge_evaluation import ranked_above
from segclr.errors import LabelError
from tests.segclr.classify.made_cells import made_cells

PROTOCOL = MergeProtocol(max_gap_um=3.0, seed=2)


def finder_of(seed=1, **made):
    return fit_merge_finder(*made_cells(["a", "b"] * 4, seed=seed, **made), radius_um=30.0, penalty=1.0)


def test_merges_of_types_far_apart_are_all_found_and_placed():
    table, classes = made_cells(["a", "b"] * 8, type_step=12.0, seed=5)
    results = {r.kind: r for r in evaluate_merges(finder_of(type_step=12.0), table, classes, PROTOCOL)}
    differ = results["types differ"]
    assert differ.auroc == 1.0
    assert differ.auroc_interval == (1.0, 1.0)
    assert differ.at_joint == 1.0
    assert differ.median_error_um == 0.0
    assert differ.chance_error_um > 1.0
    assert differ.n_cells == differ.n_unmerged == 16
    assert results["all"].n_merged == differ.n_merged + results["types same"].n_merged


def test_embeddings_that_say_nothing_find_no_merge_beyond_its_size():
    table, classes = made_cells(["a", "b"] * 10, type_step=0.0, seed=5)
    (result, *_) = evaluate_merges(finder_of(type_step=0.0), table, classes, PROTOCOL)
    assert result.size_auroc == 1.0  # every merge has 40 nodes, every cell 20
    assert result.matched_auroc is None
    assert result.at_joint < 0.3


def test_equal_sizes_are_compared_where_there_are_some():
    small, kinds = made_cells(["a", "b"] * 4, n_nodes=10, type_step=12.0, seed=5)
    large, more = made_cells(["a", "b"] * 2, n_nodes=20, type_step=12.0, seed=6)
    together = {
        k: np.concatenate([getattr(small, k), getattr(large, k)])
        for k in ("segment_ids", "node_ids", "points_nm", "parents", "embeddings")
    }
    table, classes = replace(small, **together), np.concatenate([kinds, more])
    results = evaluate_merges(finder_of(type_step=12.0), table, classes, PROTOCOL)
    differ = next(r for r in results if r.kind == "types differ")
    assert differ.matched_auroc == 1.0
    assert differ.matched_size_auroc == 0.5
    assert differ.size_auroc > 0.8


def test_the_same_seed_gives_the_same_results():
    table, classes = made_cells(["a", "b"] * 4, cell_step=1.0, seed=5)
    finder = finder_of()
    one, two = (evaluate_merges(finder, table, classes, PROTOCOL) for _ in range(2))
    assert one == two
    assert one[0].to_dict()["auroc_interval"] == list(one[0].auroc_interval)


def test_the_error_is_the_path_between_the_middles_of_two_edges():
    table, _ = made_cells(["a", "b"], seed=7)
    (contact,) = find_contacts(table, max_gap_um=3.0)
    merge = join_cells(table, contact)
    nodes, points = merge.table.node_ids.tolist(), merge.table.points_nm.astype(float)
    graph, middle = nx.Graph(), {}
    for row, parent in enumerate(merge.table.parents.tolist()):
        if parent >= 0:
            half = np.linalg.norm(points[row] - points[nodes.index(parent)]) / 2
            middle[row] = ("middle", nodes[row])
            graph.add_edge(nodes[row], middle[row], weight=half)
            graph.add_edge(middle[row], parent, weight=half)
    paths = nx.single_source_dijkstra_path_length(graph, ("middle", merge.joint))
    rows = np.array(sorted(middle))
    got = module._errors_um(merge, rows)
    np.testing.assert_allclose(got, [paths[middle[r]] / 1000 for r in rows], atol=1e-5)
    assert (got == 0).sum() == 1


scores = arrays(np.float64, st.integers(1, 12), elements=st.integers(0, 5).map(float))


@given(positive=scores, negative=scores)
def test_the_mean_of_ranks_is_the_area_under_the_roc_curve(positive, negative):
    truth = np.repeat([1, 0], [len(positive), len(negative)])
    want = roc_auc_score(truth, np.concatenate([positive, negative]))
    assert ranked_above(positive, negative).mean() == pytest.approx(want)


def test_a_finder_fitted_on_a_judged_cell_is_a_leak():
    table, classes = made_cells(["a", "b"] * 4, seed=1)
    with pytest.raises(LabelError, match="8 segments stand on both sides of the split: 922337203685477"):
        evaluate_merges(finder_of(seed=1), table, classes, PROTOCOL)


def test_cells_too_small_to_merge_are_told():
    table, classes = made_cells(["a", "b"] * 4, n_nodes=5, seed=5)
    with pytest.raises(LabelError, match="at least 8 nodes, and 0 of 8 have so many: lower min_nodes"):
        evaluate_merges(finder_of(), table, classes, PROTOCOL)
