from dataclasses import replace

import networkx as nx
import numpy as np
import pytest

from segclr.aggregate import aggregate
from segclr.classify import fit_merge_finder
from segclr.classify.splits import find_continuations
from segclr.errors import DataError
from tests.segclr.classify.made_cells import made_cells


@pytest.fixture(scope="module")
def finder():
    return fit_merge_finder(*made_cells(["a", "b"] * 4, seed=1), radius_um=4.0, penalty=1.0)


def test_pairs_and_scores_are_those_of_a_double_loop_over_ends(finder):
    table, _ = made_cells(["a", "b", "a"], cell_step=2.0, seed=8)
    table = table.take(np.random.default_rng(0).permutation(len(table)))
    keys = list(zip(table.segment_ids.tolist(), table.node_ids.tolist(), strict=True))
    graph = nx.Graph()
    graph.add_nodes_from(keys)
    for (segment, node), parent in zip(keys, table.parents.tolist(), strict=True):
        if parent >= 0:
            graph.add_edge((segment, node), (segment, parent))
    means = aggregate(table, radius_um=4.0, metric="path").embeddings.astype(float)
    white = (means - finder.center) @ finder.whitening
    points, want = table.points_nm.astype(float), {}
    ends = [i for i, key in enumerate(keys) if graph.degree(key) <= 1]
    for i in ends:
        for j in ends:
            gap = np.linalg.norm(points[i] - points[j])
            if keys[i][0] < keys[j][0] and gap <= 2500:
                cosine = white[i] @ white[j] / np.linalg.norm(white[i]) / np.linalg.norm(white[j])
                want[i, j] = (gap, cosine)
    got = find_continuations(finder, table, max_gap_um=2.5)
    assert len(got) == len(want) > 3
    for rows, gap, score in zip(got.rows.tolist(), got.gap_nm, got.score, strict=True):
        assert (gap, score) == pytest.approx(want[tuple(rows)])


def test_the_two_halves_of_a_cut_cell_are_more_alike_than_cells_of_other_types(finder):
    table, _ = made_cells(["a", "b"], type_step=6.0, seed=9)
    half = np.median(table.node_ids)
    parents = np.where((table.node_ids > half) & (table.parents <= half), -1, table.parents)
    ids = table.segment_ids * np.uint64(1) + np.where(table.node_ids > half, 500, 0).astype(np.uint64)
    cut = replace(table, segment_ids=ids, parents=parents)
    found = find_continuations(finder, cut, max_gap_um=3.0)
    cells = cut.segment_ids[found.rows] % np.uint64(500)
    same = cells[:, 0] == cells[:, 1]
    assert same.any()
    assert found.score[same].min() > found.score[~same].max()


def test_ends_too_far_apart_make_no_pair_and_another_length_is_refused(finder):
    table, _ = made_cells(["a", "b"])
    assert len(find_continuations(finder, table, max_gap_um=0.01)) == 0
    with pytest.raises(DataError, match="have 3 numbers, the finder was fitted on 8"):
        find_continuations(finder, replace(table, embeddings=table.embeddings[:, :3]), max_gap_um=1.0)
