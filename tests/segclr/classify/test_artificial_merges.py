import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segclr.classify.artificial_merges import draw_contacts, find_contacts, join_cells
from segclr.errors import DataError, SegmentNotFoundError
from tests.segclr.classify.made_cells import made_cells

seeds = st.integers(0, 2**16)


def shuffled(table, seed):
    return table.take(np.random.default_rng(seed).permutation(len(table)))


def edges_by_place(table):
    """Undirected edges of a table as pairs of places, which survive renumbering and new roots."""
    row_of = {(s, k): i for i, (s, k) in enumerate(zip(table.segment_ids, table.node_ids, strict=True))}
    places = [tuple(p) for p in table.points_nm.tolist()]
    return {
        frozenset((places[i], places[row_of[table.segment_ids[i], table.parents[i]]]))
        for i in range(len(table))
        if table.parents[i] >= 0
    }


@settings(max_examples=20)
@given(seed=seeds)
def test_a_contact_is_the_nearest_of_all_pairs_of_nodes_of_two_cells(seed):
    table, _ = made_cells(["a", "b", "a"], n_nodes=12, seed=seed)
    table = shuffled(table, seed)
    found = find_contacts(table, max_gap_um=1.2)
    ids = np.unique(table.segment_ids).tolist()
    points = table.points_nm.astype(float)
    for a in ids:
        for b in (i for i in ids if i > a):
            rows = [np.flatnonzero(table.segment_ids == np.uint64(c)) for c in (a, b)]
            gaps = np.linalg.norm(points[rows[0]][:, None] - points[rows[1]][None], axis=2)
            mine = [c for c in found if c.cells == (a, b)]
            assert len(mine) == (gaps.min() <= 1200)
            for contact in mine:
                assert contact.gap_nm == gaps.min()
                assert np.linalg.norm(points[contact.rows[0]] - points[contact.rows[1]]) == gaps.min()
                assert [int(table.segment_ids[r]) for r in contact.rows] == [a, b]


@settings(max_examples=20)
@given(seed=seeds)
def test_joined_cells_keep_all_their_edges_and_gain_the_joint(seed):
    table, _ = made_cells(["a", "b"], n_nodes=15, seed=seed)
    table = shuffled(table, seed)
    (contact,) = find_contacts(table, max_gap_um=5.0)
    merge = join_cells(table, contact)
    assert len(merge.table) == len(table)
    assert set(merge.table.segment_ids.tolist()) == {contact.cells[0]}
    ends = [tuple(table.points_nm[r].tolist()) for r in contact.rows]
    assert edges_by_place(merge.table) == edges_by_place(table) | {frozenset(ends)}
    lower = np.flatnonzero(merge.table.node_ids == merge.joint)
    assert tuple(merge.table.points_nm[lower[0]].tolist()) == ends[1]
    graph = nx.Graph(list(zip(merge.table.node_ids.tolist(), merge.table.parents.tolist(), strict=True)))
    assert nx.is_tree(graph)  # the root's parent -1 is a node of it
    assert (merge.table.parents == -1).sum() == 1


def test_a_draw_repeats_with_its_seed_and_uses_no_cell_too_often():
    table, _ = made_cells(["a", "b"] * 5, n_nodes=10)
    contacts = find_contacts(table, max_gap_um=3.0)
    drawn = draw_contacts(contacts, n=100, per_cell=2, seed=4)
    assert drawn == draw_contacts(contacts, n=100, per_cell=2, seed=4)
    assert drawn != draw_contacts(contacts, n=100, per_cell=2, seed=5)
    _, times = np.unique([c.cells for c in drawn], return_counts=True)
    assert times.max() == 2
    assert len(draw_contacts(contacts, n=3, per_cell=2, seed=4)) == 3


def test_cells_apart_make_no_contact():
    table, _ = made_cells(["a", "b"])
    with pytest.raises(DataError, match=r"no two of 2 segments come within 0\.001 um"):
        find_contacts(table, max_gap_um=0.001)


def test_what_cannot_be_joined_is_told():
    table, _ = made_cells(["a", "b"])
    (contact,) = find_contacts(table, max_gap_um=5.0)
    with pytest.raises(SegmentNotFoundError, match=str(contact.cells[1])):
        join_cells(table.take(table.segment_ids == table.segment_ids[0]), contact)
