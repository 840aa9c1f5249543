from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import jensenshannon

from segclr.aggregate import aggregate
from segclr.classify import LinearClassifier, fit_merge_finder
from segclr.classify.artificial_merges import find_contacts, join_cells
from segclr.classify.merges import js_divergence
from segclr.errors import DataError, LabelError
from tests.segclr.classify.made_cells import made_cells


@pytest.fixture(scope="module")
def finder():
    table, classes = made_cells(["a", "b"] * 4, seed=1)
    return fit_merge_finder(table, classes, radius_um=6.0, penalty=1.0)


def naive_sides(table, child, *, radius_nm):
    """Rows on either side of the edge above a row, by walks that stop at the radius."""
    row_of = {k: i for i, k in enumerate(table.node_ids.tolist())}
    near = {i: set() for i in range(len(table))}
    for i, parent in enumerate(table.parents.tolist()):
        if parent >= 0:
            near[i].add(row_of[parent])
            near[row_of[parent]].add(i)
    parent = row_of[int(table.parents[child])]
    points = table.points_nm.astype(float)

    def walk(row, behind, path):
        if path > radius_nm:
            return []
        ahead = [n for n in near[row] if n != behind]
        further = [walk(n, row, path + float(np.linalg.norm(points[row] - points[n]))) for n in ahead]
        return [row, *(r for rows in further for r in rows)]

    return walk(child, parent, 0.0), walk(parent, child, 0.0)


def test_scores_equal_the_stated_formula_by_hand(finder):
    train, classes = made_cells(["a", "b"] * 4, seed=1)
    table, _ = made_cells(["a"], seed=2)
    classifier = LinearClassifier(C=1.0)
    classifier.fit(aggregate(train, radius_um=6.0, metric="path").embeddings, classes)
    values = train.embeddings.astype(float)
    rest = (values.reshape(8, 20, 8) - values.reshape(8, 20, 8).mean(axis=1, keepdims=True)).reshape(160, 8)
    covariance = rest.T @ rest / (160 - 8)
    covariance = 0.9 * covariance + 0.1 * np.trace(covariance) / 8 * np.eye(8)
    got = finder.score(table)
    assert len(got) == 19
    for i, child in enumerate(got.rows):
        sides = [table.embeddings[rows].astype(float) for rows in naive_sides(table, child, radius_nm=6000.0)]
        n_1, n_2 = map(len, sides)
        change = sides[0].mean(axis=0) - sides[1].mean(axis=0)
        inverse = np.linalg.inv(covariance)
        spread = sum(np.einsum("ij,jk,ik->", s - s.mean(axis=0), inverse, s - s.mean(axis=0)) for s in sides)
        distance = np.sqrt(change @ inverse @ change / ((spread + 2 * 8) / (n_1 + n_2)))
        p, q = (classifier.predict_proba(s.mean(axis=0)[None])[0] for s in sides)
        types = jensenshannon(p, q, base=2) ** 2
        score = distance * n_1 * n_2 / (n_1 + n_2) * np.sqrt(types + 0.5) if min(n_1, n_2) >= 2 else 0.0
        assert got.n_nodes[i] == min(n_1, n_2)
        assert got.type_change[i] == pytest.approx(types, abs=1e-9)
        assert got.embedding_change[i] == pytest.approx(distance, rel=1e-5)
        assert got.score[i] == pytest.approx(score, rel=1e-5)


def test_the_highest_edge_of_two_joined_types_is_the_joint(finder):
    table, _ = made_cells(["a", "b"], type_step=6.0, seed=3)
    (contact,) = find_contacts(table, max_gap_um=3.0)
    merge = join_cells(table, contact)
    scores = finder.score(merge.table)
    assert merge.table.node_ids[scores.rows[np.argmax(scores.score)]] == merge.joint
    assert scores.score.max() > 2 * finder.score(table).score.max()


def test_scores_do_not_depend_on_the_order_of_rows(finder):
    table, _ = made_cells(["a", "b"], seed=3)
    order = np.random.default_rng(0).permutation(len(table))
    one, two = finder.score(table), finder.score(table.take(order))
    np.testing.assert_array_equal(order[two.rows], one.rows)
    np.testing.assert_array_equal(two.score, one.score)


def test_segments_without_edges_have_no_scores(finder):
    table, _ = made_cells(["a", "b"], n_nodes=1)
    assert len(finder.score(table)) == 0


# SciPy's divergence of the smallest numbers overflows; ours is asked of them below.
distributions = arrays(np.float64, (3, 4), elements=st.just(0.0) | st.floats(1e-200, 1)).map(
    lambda a: (a + (a.sum(axis=1) == 0)[:, None]) / (a + (a.sum(axis=1) == 0)[:, None]).sum(axis=1)[:, None]
)


@given(p=distributions, q=distributions)
def test_the_divergence_is_symmetric_bounded_and_scipys(p, q):
    got = js_divergence(p, q)
    np.testing.assert_array_equal(got, js_divergence(q, p))
    assert ((got >= 0) & (got <= 1)).all()
    want = [np.nan_to_num(jensenshannon(a, b, base=2)) ** 2 for a, b in zip(p, q, strict=True)]
    np.testing.assert_allclose(got, want, atol=1e-9)
    np.testing.assert_allclose(js_divergence(p, p), 0, atol=1e-12)


def test_the_smallest_share_there_is_changes_nothing():
    one, two = np.array([[1.0, 0.0]]), np.array([[1.0, 5e-324]])
    np.testing.assert_array_equal(js_divergence(one, two), [0.0])
    np.testing.assert_array_equal(js_divergence(two, one), [0.0])


def test_distributions_without_overlap_are_one_bit_apart():
    np.testing.assert_allclose(js_divergence(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])), 1.0)


def test_embeddings_of_another_length_are_refused(finder):
    table, _ = made_cells(["a"])
    with pytest.raises(DataError, match="have 3 numbers, the finder was fitted on 8"):
        finder.score(replace(table, embeddings=table.embeddings[:, :3]))


def test_one_type_alone_and_cells_that_never_vary_are_refused():
    table, classes = made_cells(["a", "a"])
    with pytest.raises(LabelError, match="two classes"):
        fit_merge_finder(table, classes, radius_um=5.0, penalty=1.0)
    with pytest.raises(LabelError, match="each of 40 nodes, got 3"):
        fit_merge_finder(table, classes[:3], radius_um=5.0)
    table, classes = made_cells(["a", "b"])
    flat = replace(table, embeddings=np.repeat(np.eye(2, 8, dtype=np.float32), 20, axis=0))
    with pytest.raises(DataError, match="do not vary within any of 2 cells"):
        fit_merge_finder(flat, classes, radius_um=5.0, penalty=1.0)
