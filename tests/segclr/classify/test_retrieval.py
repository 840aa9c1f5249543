import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segclr.classify import RetrievalResult, retrieval
from segclr.errors import ConfigError, DataError
from segclr.store.embeddings import EmbeddingTable


def random_table(n, seed, *, grid=4, n_segments=5):
    rng = np.random.default_rng(seed)
    return EmbeddingTable(
        segment_ids=rng.integers(2**63, 2**63 + n_segments, n, dtype=np.uint64),
        node_ids=np.arange(n),
        points_nm=rng.integers(0, grid, (n, 3)) * 300.0,
        parents=None,
        embeddings=rng.standard_normal((n, 6)),
    )


def naive(table, exclusion_nm):
    x = table.embeddings.astype(float)
    hits, chances, ceilings, lonely = [], [], [], 0
    for i in range(len(table)):
        candidates = [
            j
            for j in range(len(table))
            if j != i
            and np.linalg.norm(table.points_nm[i].astype(float) - table.points_nm[j]) >= exclusion_nm
        ]
        if not candidates:
            lonely += 1
            continue
        cosine = [x[i] @ x[j] / np.linalg.norm(x[i]) / np.linalg.norm(x[j]) for j in candidates]
        own = [table.segment_ids[j] == table.segment_ids[i] for j in candidates]
        hits.append(own[int(np.argmax(cosine))])
        chances.append(np.mean(own))
        ceilings.append(any(own))
    return np.mean(hits), np.mean(chances), np.mean(ceilings), len(hits), lonely


@settings(max_examples=60)
@given(n=st.integers(2, 40), seed=st.integers(0, 2**32 - 1), exclusion=st.sampled_from([0, 300, 400, 900]))
def test_equals_a_naive_double_loop(n, seed, exclusion):
    table = random_table(n, seed)
    share, chance, ceiling, n_queries, lonely = naive(table, exclusion) if _any(table, exclusion) else [0] * 5
    if not n_queries:
        with pytest.raises(DataError, match="nothing to retrieve"):
            retrieval(table, exclusion_nm=exclusion)
        return
    got = retrieval(table, exclusion_nm=exclusion)
    assert got.share == pytest.approx(share)
    assert got.chance == pytest.approx(chance)
    assert got.ceiling == pytest.approx(ceiling)
    assert (got.n_queries, got.n_without_candidates) == (n_queries, lonely)


def _any(table, exclusion):
    points = table.points_nm.astype(float)
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1) >= exclusion
    np.fill_diagonal(apart, val=False)
    return apart.any()


def test_small_blocks_equal_one_large_block(monkeypatch):
    import sys

    table = random_table(150, 3)
    whole = retrieval(table, exclusion_nm=400)
    monkeypatch.setattr(sys.modules["segclr.classify.retrieval"], "_BLOCK_CELLS", 1000)
    assert retrieval(table, exclusion_nm=400) == whole


def test_the_order_of_rows_does_not_matter_even_where_embeddings_tie():
    table = random_table(120, 5)
    table.embeddings[:] = table.embeddings[:3].repeat(40, axis=0)
    want = retrieval(table, exclusion_nm=400)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(120)
        assert retrieval(table.take(order), exclusion_nm=400) == want


def test_equal_similarities_go_to_the_lowest_ids():
    # Matrix products give equal vectors unequal similarities in the last bits; ids must decide all the same.
    rng = np.random.default_rng(0)
    n = 600
    kind = rng.integers(0, 3, n)
    segment_ids = np.sort(rng.integers(2**63, 2**63 + 9, n, dtype=np.uint64))
    table = EmbeddingTable(
        segment_ids=segment_ids,
        node_ids=np.arange(n),
        points_nm=np.arange(3 * n).reshape(n, 3) * 100.0,
        parents=None,
        embeddings=rng.standard_normal((3, 64))[kind],
    )
    lowest = [next(j for j in range(n) if j != i and kind[j] == kind[i]) for i in range(n)]
    want = np.mean(segment_ids[lowest] == segment_ids)
    assert retrieval(table.take(rng.permutation(n)), exclusion_nm=0).share == pytest.approx(want)


def test_embeddings_that_name_their_segment_are_always_found():
    table = random_table(60, 1, grid=50)
    table.embeddings[:] = np.eye(6)[(table.segment_ids - np.uint64(2**63)).astype(int)]
    got = retrieval(table, exclusion_nm=400)
    assert got.share == got.ceiling
    assert got.chance < 0.5


def test_chance_is_what_random_embeddings_reach():
    table = random_table(1500, 2, grid=30)
    got = retrieval(table, exclusion_nm=400)
    assert got.share == pytest.approx(got.chance, abs=0.05)
    assert got.chance == pytest.approx(0.2, abs=0.02)


def test_a_node_exactly_at_the_exclusion_is_a_candidate():
    table = EmbeddingTable(
        segment_ids=np.array([1, 1], dtype=np.uint64),
        node_ids=[0, 1],
        points_nm=[[0, 0, 0], [400, 0, 0]],
        parents=None,
        embeddings=[[1.0, 0], [0, 1.0]],
    )
    assert retrieval(table, exclusion_nm=400).n_queries == 2
    with pytest.raises(DataError, match="nothing to retrieve"):
        retrieval(table, exclusion_nm=400.1)


def test_embeddings_that_are_not_finite_are_refused():
    table = random_table(10, 0)
    table.embeddings[4] = np.nan
    with pytest.raises(DataError, match="node 4 of segment 922337203685477"):
        retrieval(table, exclusion_nm=0)


@pytest.mark.parametrize("value", [0.0, 1.0, -3e-7])
def test_a_collapsed_encoder_has_a_defined_result(value):
    table = random_table(60, 0)
    table.embeddings[:] = value
    got = retrieval(table, exclusion_nm=400)
    lowest = table.take(np.lexsort((table.node_ids, table.segment_ids)))
    points = lowest.points_nm.astype(float)
    far = np.linalg.norm(points[:, None] - points[None], axis=-1) >= 400
    nearest = far.argmax(axis=1)  # all tie, so the first candidate is taken
    assert got.share == pytest.approx((lowest.segment_ids[nearest] == lowest.segment_ids).mean())


def test_the_interval_draws_the_segments_of_the_queries():
    table = random_table(150, 7, n_segments=12)
    got = retrieval(table, exclusion_nm=0, seed=3)
    x = table.embeddings.astype(float)
    x /= np.linalg.norm(x, axis=1)[:, None]
    cosine = x @ x.T
    np.fill_diagonal(cosine, -1)
    hit = table.segment_ids[cosine.argmax(axis=1)] == table.segment_ids
    ids, rng, shares = np.unique(table.segment_ids), np.random.default_rng(3), []
    for _ in range(200):
        drawn = ids[rng.integers(len(ids), size=len(ids))]
        shares.append(np.concatenate([hit[table.segment_ids == i] for i in drawn]).mean())
    assert got.share_interval == pytest.approx(np.percentile(shares, [2.5, 97.5]))
    assert got.n_query_segments == len(ids)


@pytest.mark.parametrize("n_segments", [1, 5])
def test_survives_json(n_segments):
    got = retrieval(random_table(30, 0, n_segments=n_segments), exclusion_nm=0)
    assert (got.share_interval is None) == (n_segments == 1)
    assert RetrievalResult.from_dict(json.loads(json.dumps(got.to_dict())) | {"encoder": "x"}) == got


def test_an_empty_table_and_an_impossible_exclusion_are_refused():
    with pytest.raises(DataError, match="nothing to retrieve"):
        retrieval(random_table(3, 0).take(np.zeros(3, dtype=bool)), exclusion_nm=0)
    with pytest.raises(ConfigError, match="exclusion_nm"):
        retrieval(random_table(3, 0), exclusion_nm=-1)
