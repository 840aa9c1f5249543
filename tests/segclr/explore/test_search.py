import dataclasses
import json

import numpy as np
import pytest

from segclr.errors import ConfigError, CorruptDataError, DataError, EncoderError, SegmentNotFoundError
from segclr.explore import SearchIndex
from segclr.explore.measures import measure_of
from segclr.store.embeddings import EmbeddingTable

LARGEST = 2**64 - 1


def table_of(n, d=16, *, seed=0, n_segments=None, embeddings=None):
    """Nodes of segments with ids around 2**53 and up to 2**64 - 1, in no order."""
    random = np.random.default_rng(seed)
    kinds = np.array([LARGEST, 2**53 + 1, 2**53, 2**63 + 5, 7, 12345], dtype=np.uint64)
    kinds = np.concatenate([kinds, 10**15 + np.arange(n_segments or 0, dtype=np.uint64)])
    return EmbeddingTable(
        segment_ids=random.choice(kinds, n),
        node_ids=random.permutation(n),
        points_nm=random.uniform(0, 20_000, (n, 3)),
        parents=None,
        embeddings=random.normal(size=(n, d)) if embeddings is None else embeddings,
    )


def scores(table, vectors, metric):
    """Larger is nearer, float64 [m, n]."""
    rows, vectors = table.embeddings.astype(np.float64), np.asarray(vectors, dtype=np.float64)
    if metric == "euclidean":
        return np.stack([-np.sqrt(((v - rows) ** 2).sum(axis=1)) for v in vectors])
    lengths = np.linalg.norm(rows, axis=1)
    directions = rows / np.where(lengths > 0, lengths, 1)[:, None]
    return np.stack([(v / np.linalg.norm(v) * directions).sum(axis=1) for v in vectors])


def brute_force(table, vectors, k, metric, allowed=None):
    """Rows [m, k] and scores [m, k]; -1 and NaN where none is left."""
    score = scores(table, vectors, metric)
    allowed = np.ones(score.shape, bool) if allowed is None else allowed
    rows, found = np.full((len(score), k), -1), np.full((len(score), k), np.nan)
    for i, line in enumerate(score):
        order = np.lexsort((table.node_ids, table.segment_ids, -line))
        order = order[allowed[i][order]][:k]
        rows[i, : len(order)], found[i, : len(order)] = order, line[order]
    return rows, found


def check_equal(hits, table, rows, score):
    assert np.array_equal(hits.rows, rows)
    answer = hits.similarity if hits.similarity is not None else -hits.distance
    np.testing.assert_allclose(answer, score, rtol=1e-6, atol=1e-6)
    found = rows >= 0
    assert np.array_equal(hits.segment_ids[found], table.segment_ids[rows[found]])
    assert np.array_equal(hits.node_ids[found], table.node_ids[rows[found]])
    assert np.array_equal(hits.points_nm[found], table.points_nm[rows[found]])
    assert np.array_equal(hits.n_found, found.sum(axis=1))
    assert np.isnan(hits.points_nm[~found]).all()
    assert not hits.segment_ids[~found].any()


METRICS = pytest.mark.parametrize("metric", ["cosine", "euclidean"])


@METRICS
def test_a_search_among_100_000_nodes_is_numpys_brute_force(metric):
    table = table_of(100_000, 64)
    vectors = np.random.default_rng(1).normal(size=(300, 64))  # more than one block of queries
    hits = SearchIndex.build(table, metric=metric).query(vectors, k=10)
    rows = table.embeddings.astype(np.float64)
    directions, asked = rows / np.linalg.norm(rows, axis=1)[:, None], vectors[::25]
    if metric == "cosine":
        score = asked / np.linalg.norm(asked, axis=1)[:, None] @ directions.T
    else:
        score = -np.stack([np.linalg.norm(v - rows, axis=1) for v in asked])
    best = np.argsort(-score, axis=1, kind="stable")[:, :10]
    assert np.array_equal(hits.rows[::25], best)
    answer = hits.similarity if metric == "cosine" else -hits.distance
    np.testing.assert_allclose(answer[::25], np.take_along_axis(score, best, axis=1), rtol=1e-6)
    assert np.array_equal(hits.segment_ids, table.segment_ids[hits.rows])
    assert LARGEST in hits.segment_ids


@METRICS
@pytest.mark.parametrize(
    "kind", ["alike", "equal", "copies", "with zeros", "one far off", "tiny", "huge", "one row"]
)
def test_embeddings_that_float32_can_hardly_tell_apart_are_ranked_exactly(metric, kind):
    random = np.random.default_rng(2)
    values = random.normal(size=(1 if kind == "one row" else 20_000, 8))
    values = {
        "alike": 1000 + 1e-3 * values,  # a collapsed encoder
        "equal": np.broadcast_to(values[:1], values.shape),
        "copies": np.repeat(values[:200], 100, axis=0),
        "with zeros": np.where(random.random((len(values), 1)) < 0.3, 0, values),
        "one far off": np.concatenate([values[:-1], np.full((1, 8), 1e6)]),
        "tiny": values * 1e-38,
        "huge": values * 1e37,
    }.get(kind, values)
    table = table_of(len(values), embeddings=values)
    vectors = np.concatenate([table.embeddings[:3].astype(np.float64), [[3.0] * 8]])
    vectors = vectors[vectors.any(axis=1)]
    hits = SearchIndex.build(table, metric=metric).query(vectors, k=7)
    check_equal(hits, table, *brute_force(table, vectors, 7, metric))


@METRICS
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_the_quick_number_is_never_below_the_exact_one(metric, offset):
    random = np.random.default_rng(3)
    rows = (offset + random.normal(size=(500, 64)) * 10 ** random.uniform(-6, 6, (500, 1))).astype(np.float32)
    queries = np.concatenate([rows[:50], offset + random.normal(size=(50, 64))]).astype(np.float64)
    measure = measure_of(metric, rows)
    prepared = measure.prepare(queries)
    quick = measure.quick_queries(prepared) @ measure.quick_rows.T
    exact = np.stack([measure.exact(np.broadcast_to(q, rows.shape), np.arange(500)) for q in prepared])
    assert (quick >= exact).all()
    close = np.sort(quick - exact, axis=1)[:, 250]
    assert (close <= 1e-4 * np.abs(exact).max(axis=1)).all()  # and not by much


@METRICS
def test_filters_leave_out_what_they_say_and_nothing_else(metric):
    table = table_of(30_000, 8, n_segments=20)
    asked = np.arange(0, 30_000, 1500)
    vectors, own, places = table.embeddings[asked], table.segment_ids[asked], table.points_nm[asked]
    other = table.segment_ids != own[:, None]
    squared = ((table.points_nm.astype(float) - places[:, None].astype(float)) ** 2).sum(axis=2)
    far = squared >= 6_000.0**2
    some = np.array([LARGEST, 2**53], dtype=np.uint64)
    among = np.isin(table.segment_ids, some)
    index = SearchIndex.build(table, metric=metric)
    away = {"away_from_nm": places, "min_distance_nm": 6_000}
    cases = [
        ({"other_than": own}, other),
        (away, far),
        ({"only_segments": some}, np.broadcast_to(among, other.shape)),
        ({"other_than": own, **away, "only_segments": some}, other & far & among),
    ]
    for filters, allowed in cases:
        hits = index.query(vectors, k=5, **filters)
        check_equal(hits, table, *brute_force(table, vectors, 5, metric, allowed))
    itself = asked[:, None] == np.arange(len(table))
    both = {"other_segments": True, "min_distance_nm": 6_000}
    for filters, allowed in (({}, ~itself), (both, other & far)):
        hits = index.query_rows(asked, k=5, **filters)
        check_equal(hits, table, *brute_force(table, vectors, 5, metric, allowed))


def test_a_node_exactly_the_distance_away_is_far_enough():
    table = dataclasses.replace(
        table_of(3), points_nm=np.array([[0, 0, 0], [3000, 4000, 0], [0, 0, 4999.5]], np.float32)
    )
    hits = SearchIndex.build(table).query_rows([0], k=2, min_distance_nm=5000)
    assert hits.rows.tolist() == [[1, -1]]


@METRICS
def test_fewer_hits_than_asked_for_are_marked(metric):
    table = table_of(4)
    hits = SearchIndex.build(table, metric=metric).query(table.embeddings[:2], k=6)
    check_equal(hits, table, *brute_force(table, table.embeddings[:2], 6, metric))
    assert hits.n_found.tolist() == [4, 4]
    assert len(hits.to_pandas()) == 8
    nothing = SearchIndex.build(table).query(
        table.embeddings[:1], k=2, only_segments=np.array([1], np.uint64)
    )
    assert nothing.rows.tolist() == [[-1, -1]]
    assert nothing.to_pandas().empty


@METRICS
def test_the_order_of_rows_and_the_other_queries_change_nothing(metric):
    table = table_of(9_000, embeddings=np.repeat(np.random.default_rng(4).normal(size=(900, 6)), 10, axis=0))
    order = np.random.default_rng(5).permutation(len(table))
    vectors = table.embeddings[:300:10]
    index = SearchIndex.build(table, metric=metric)
    mixed = SearchIndex.build(table.take(order), metric=metric).query(vectors, k=12)
    together = index.query(vectors, k=12)
    assert np.array_equal(together.rows, order[mixed.rows])
    for i, vector in enumerate(vectors[:5]):
        alone = index.query(vector, k=12)
        assert np.array_equal(alone.rows[0], together.rows[i])


@METRICS
def test_a_saved_and_loaded_index_answers_the_same(metric, tmp_path):
    table = table_of(2_000)
    index = SearchIndex.build(table, metric=metric, encoder_digest="abc", encoder_name="mine")
    index.save(str(tmp_path / "index"))
    loaded = SearchIndex.load(str(tmp_path / "index"), encoder_digest="abc")
    ours, theirs = (i.query_rows(np.arange(50), k=4, other_segments=True) for i in (index, loaded))
    for field in dataclasses.fields(ours):
        a, b = getattr(ours, field.name), getattr(theirs, field.name)
        assert (a is None and b is None) or np.array_equal(a, b)
    assert (loaded.metric, loaded.encoder_digest, loaded.encoder_name) == (metric, "abc", "mine")
    assert LARGEST in loaded.table.segment_ids
    with pytest.raises(EncoderError, match="encoder mine abc, the query is of xyz"):
        SearchIndex.load(str(tmp_path / "index"), encoder_digest="xyz")


def test_a_damaged_index_is_refused(tmp_path):
    folder = tmp_path / "index"
    SearchIndex.build(table_of(10)).save(str(folder))
    told = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps(told | {"facts": told["facts"] | {"metric": "manhattan"}}))
    with pytest.raises(CorruptDataError, match="manhattan"):
        SearchIndex.load(str(folder))
    for facts in (None, {}, {"metric": "cosine"}):
        (folder / "index.json").write_text(json.dumps(told | {"facts": facts}))
        with pytest.raises(CorruptDataError):
            SearchIndex.load(str(folder))
    (folder / "index.json").write_text(json.dumps(told | {"format": 9}))
    with pytest.raises(CorruptDataError, match="format 1"):
        SearchIndex.load(str(folder))
    (folder / "index.json").write_text(json.dumps(told))
    nodes = folder / "nodes.parquet"
    nodes.write_bytes(nodes.read_bytes()[:-1] + b"x")
    with pytest.raises(CorruptDataError, match="checksum"):
        SearchIndex.load(str(folder))


@pytest.mark.parametrize("ids", [(float(2**53 + 1), 0), (7, 0.0), ("7", 0), (True, 0)])
def test_a_node_is_not_looked_for_by_an_id_that_may_have_lost_digits(ids):
    with pytest.raises(DataError, match="must be a whole number"):
        SearchIndex.build(table_of(10)).row_of(*ids)


@pytest.mark.parametrize(
    ("k", "distance_nm", "words"),
    [(10**13, 1.0, "ask for fewer"), (10**30, 1.0, "ask for fewer"), (1, 1e200, "from 0 to 1e.18")],
)
def test_what_no_memory_or_number_can_hold_is_refused(k, distance_nm, words):
    with pytest.raises(ConfigError, match=words):
        SearchIndex.build(table_of(10)).query_rows([0], k, min_distance_nm=distance_nm)


def test_nodes_are_found_by_id_and_by_place():
    table = table_of(500)
    index = SearchIndex.build(table)
    row = int(np.flatnonzero(table.segment_ids == LARGEST)[3])
    assert index.row_of(LARGEST, int(table.node_ids[row])) == row
    with pytest.raises(SegmentNotFoundError, match=f"node 4000000 of segment {LARGEST}"):
        index.row_of(LARGEST, 4_000_000)
    place = table.points_nm[row] + np.float32(1)
    nearest, distance = index.nearest_row(place)
    distances = np.linalg.norm(table.points_nm.astype(float) - place, axis=1)
    assert (nearest, distance) == (distances.argmin(), pytest.approx(distances.min()))
    with pytest.raises(DataError, match="three finite numbers"):
        index.nearest_row((1, 2))


def test_what_cannot_be_indexed_is_refused():
    good = table_of(20)
    for name in ("embeddings", "points_nm"):
        values = getattr(good, name).copy()
        values[7, 1] = np.nan
        with pytest.raises(DataError, match=f"1 of 20 rows .* node {good.node_ids[7]} of segment"):
            SearchIndex.build(dataclasses.replace(good, **{name: values}))
    twice = good.take(np.array([0, 1, 1]))
    with pytest.raises(DataError, match="another row has"):
        SearchIndex.build(twice)
    with pytest.raises(DataError, match="nothing to search in"):
        SearchIndex.build(good.take(np.array([], dtype=int)))
    with pytest.raises(ConfigError, match="cosine, euclidean, got 'dot'"):
        SearchIndex.build(good, metric="dot")


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"vectors": np.full((1, 16), np.nan)}, DataError, "not finite"),
        ({"vectors": np.full((1, 16), 1e200)}, DataError, "not finite"),
        ({"vectors": np.zeros((1, 16))}, DataError, "no direction"),
        ({"vectors": np.ones((1, 15))}, DataError, "16 dimensions"),
        ({"k": 0}, ConfigError, "k must be"),
        ({"k": 2.5}, ConfigError, "k must be"),
        ({"encoder_digest": "xyz"}, EncoderError, "encoder mine abc, the query is of xyz"),
        ({"other_than": np.array([7])}, DataError, "other_than must be uint64"),
        ({"other_than": np.array([7, 8], np.uint64)}, DataError, r"uint64 \[1\]"),
        ({"only_segments": np.array([7.0])}, DataError, "only_segments must be uint64"),
        ({"min_distance_nm": 5.0}, ConfigError, "go together"),
        ({"away_from_nm": np.zeros((1, 3))}, ConfigError, "go together"),
        ({"away_from_nm": np.zeros((2, 3)), "min_distance_nm": 5.0}, DataError, r"\[1, 3\]"),
        ({"away_from_nm": np.zeros((1, 3)), "min_distance_nm": -1.0}, ConfigError, "from 0 to"),
    ],
)
def test_a_query_that_cannot_be_answered_is_refused(arguments, error, words):
    index = SearchIndex.build(table_of(20), encoder_digest="abc", encoder_name="mine")
    with pytest.raises(error, match=words):
        index.query(**{"vectors": np.ones((1, 16)), **arguments})


@pytest.mark.parametrize("rows", [[20], [-1], [0.5], [[0]]])
def test_rows_that_are_not_there_are_refused(rows):
    with pytest.raises(DataError, match="from 0 to 19"):
        SearchIndex.build(table_of(20)).query_rows(rows)
