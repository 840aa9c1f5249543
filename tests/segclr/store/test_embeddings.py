import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import segclr
from segclr.errors import CorruptDataError, DataError, MissingDataError, SegmentNotFoundError
from segclr.store.embeddings import EmbeddingTable, open_embeddings, shard_name, shard_of
from segclr.store.parquet import write_columns

IDS = np.array([3, 2**53, 2**53 + 1, 2**63 + 5, 2**63 + 6, 2**64 - 1], dtype=np.uint64)


def splitmix64(x):
    x ^= x >> 30
    x = x * 0xBF58476D1CE4E5B9 % 2**64
    x ^= x >> 27
    x = x * 0x94D049BB133111EB % 2**64
    return x ^ (x >> 31)


def columns(ids=IDS, nodes=3, dim=4, seed=0):
    n = len(ids) * nodes
    random = np.random.default_rng(seed)
    return {
        "segment_id": np.repeat(ids, nodes),
        "node_id": np.tile(np.arange(nodes, dtype=np.uint32), len(ids)),
        **{f"{a}_nm": random.normal(size=n).astype(np.float32) for a in "xyz"},
        "radius_nm": np.ones(n, np.float32),
        "parent": np.tile(np.arange(-1, nodes - 1, dtype=np.int32), len(ids)),
        "embedding": random.normal(size=(n, dim)).astype(np.float32),
    }


def write(folder, n_shards=3, **kwargs):
    made = columns(**kwargs)
    shards = shard_of(made["segment_id"], n_shards=n_shards)
    for i in range(n_shards):
        write_columns(str(folder / shard_name(i, n_shards)), {k: v[shards == i] for k, v in made.items()})
    return made


def embedding_table(**changes):
    made = {
        "segment_ids": np.repeat(IDS, 2),
        "node_ids": np.tile(np.arange(2, dtype=np.uint32), 6),
        "points_nm": np.zeros((12, 3), np.float32),
        "parents": np.tile(np.array([-1, 0], np.int32), 6),
        "embeddings": np.ones((12, 4), np.float32),
    }
    return EmbeddingTable(**{**made, **changes})


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1), st.integers(1, 50_000))
def test_shards_equal_splitmix64_in_whole_numbers(ids, n_shards):
    expected = [splitmix64(i) % n_shards for i in ids]
    assert shard_of(np.array(ids, np.uint64), n_shards=n_shards).tolist() == expected


def test_shards_of_known_ids_never_change():
    ids = np.array([1, 12345, 2**53 + 1, 864691135091041291, 2**64 - 1], np.uint64)
    assert shard_of(ids, n_shards=10_000).tolist() == [splitmix64(int(i)) % 10_000 for i in ids]
    # SplitMix64 seeded with 0 answers the finaliser of its increment: the published first output
    assert splitmix64(0x9E3779B97F4A7C15) == 0xE220A8397B1DCDAF
    assert shard_of(np.array([0x9E3779B97F4A7C15], np.uint64), n_shards=2**16).tolist() == [0xCDAF]


@pytest.mark.parametrize("step", [1, 2, 2**32, 2**16 * 10])
def test_ids_that_share_bits_are_spread_evenly(step):
    ids = np.uint64(864691135091041291) + np.arange(8000, dtype=np.uint64) * np.uint64(step)
    counts = np.bincount(shard_of(ids, n_shards=8), minlength=8)
    assert (np.abs(counts - 1000) < 150).all()


def test_a_segments_rows_are_looked_up_by_its_exact_id(tmp_path):
    made = write(tmp_path)
    store = segclr.open_embeddings(str(tmp_path))
    for segment_id in IDS:
        rows = made["segment_id"] == segment_id
        for key in (segment_id, int(segment_id)):
            got = store[key]
            assert got.segment_ids.tolist() == [int(segment_id)] * 3
            assert got.node_ids.tolist() == [0, 1, 2]
            assert np.array_equal(got.embeddings, made["embedding"][rows])
            assert np.array_equal(got.points_nm[:, 1], made["y_nm"][rows])
            assert np.array_equal(got.parents, made["parent"][rows])
    assert store.segment_ids.dtype == np.uint64
    assert store.segment_ids.tolist() == IDS.tolist()


def test_everything_is_read_sorted_whatever_the_number_of_shards(tmp_path):
    read = []
    for n in (1, 2, 7):
        made = write(tmp_path / str(n), n_shards=n)
        read.append(open_embeddings(str(tmp_path / str(n))).read_all())
        assert np.array_equal(read[-1].segment_ids, made["segment_id"])
        assert np.array_equal(read[-1].embeddings, made["embedding"])


@pytest.mark.parametrize("absent", [1, 2**53 + 2, 2**63 + 4, 2**64 - 2])
def test_an_absent_segment_is_a_key_error_with_its_number(tmp_path, absent):
    write(tmp_path)
    with pytest.raises(KeyError, match=str(absent)) as caught:
        open_embeddings(str(tmp_path))[absent]
    assert isinstance(caught.value, SegmentNotFoundError)


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_lost_shard_is_an_error_and_not_a_smaller_store(tmp_path, lost):
    write(tmp_path)
    (tmp_path / shard_name(lost, 3)).unlink()
    with pytest.raises(CorruptDataError, match="2 shards of 3"):
        open_embeddings(str(tmp_path))


def test_shards_of_two_stores_in_one_folder_are_refused(tmp_path):
    write(tmp_path, n_shards=3)
    write(tmp_path, n_shards=2)
    with pytest.raises(CorruptDataError, match="another run"):
        open_embeddings(str(tmp_path))


def test_more_than_ten_thousand_shards_are_one_store(tmp_path):
    for i in range(10_002):
        (tmp_path / shard_name(i, 10_002)).touch()
    store = open_embeddings(str(tmp_path))
    assert [s.rsplit("/", 1)[1] for s in store.shards] == [shard_name(i, 10_002) for i in range(10_002)]


def test_an_empty_folder_is_missing_data(tmp_path):
    with pytest.raises(MissingDataError, match="no embeddings"):
        open_embeddings(str(tmp_path))


def test_a_store_written_again_is_read_anew(tmp_path):
    write(tmp_path)
    before = open_embeddings(str(tmp_path))[2**63 + 5].embeddings
    made = write(tmp_path, seed=1)
    after = open_embeddings(str(tmp_path))[2**63 + 5].embeddings
    assert not np.array_equal(before, after)
    assert np.array_equal(after, made["embedding"][made["segment_id"] == IDS[3]])


@pytest.mark.parametrize("dtype", [np.int64, np.float64, np.uint32, object])
def test_ids_of_another_type_than_uint64_are_refused(dtype):
    with pytest.raises(DataError, match="must be uint64"):
        embedding_table(segment_ids=np.arange(12).astype(dtype))


@pytest.mark.parametrize(
    "changes",
    [
        {"node_ids": np.zeros(11, np.uint32)},
        {"parents": np.zeros(13, np.int32)},
        {"points_nm": np.zeros((12, 2), np.float32)},
        {"embeddings": np.zeros(12, np.float32)},
        {"embeddings": np.zeros((11, 4), np.float32)},
        {"n_nodes": np.zeros(3, np.int32)},
        {"segment_ids": np.zeros((12, 1), np.uint64)},
        {"node_ids": np.zeros((12, 1), np.uint32)},
    ],
)
def test_columns_of_other_lengths_or_shapes_are_refused(changes):
    with pytest.raises(DataError, match="one length"):
        embedding_table(**changes)


@pytest.mark.parametrize(
    "changes",
    [{"node_ids": np.full(12, -1)}, {"node_ids": np.full(12, 2**32)}, {"parents": np.full(12, 2**31)}],
)
def test_node_ids_that_do_not_fit_are_refused_and_do_not_wrap(changes):
    with pytest.raises(DataError, match="fit"):
        embedding_table(**changes)


def test_a_table_without_topology_is_allowed_and_taken_from():
    table = embedding_table(parents=None).take(np.arange(12) % 2 == 1)
    assert len(table) == 6
    assert table.parents is None
    assert table.segment_ids.tolist() == IDS.tolist()


def test_pandas_keeps_ids_exact():
    frame = embedding_table(n_nodes=np.ones(12, np.int32)).to_pandas()
    assert frame["segment_id"].dtype == np.uint64
    assert frame["segment_id"].tolist() == np.repeat(IDS, 2).tolist()
    assert list(frame.columns) == [
        *("segment_id", "node_id", "x_nm", "y_nm", "z_nm", "parent", "n_nodes", "e0", "e1", "e2", "e3")
    ]
