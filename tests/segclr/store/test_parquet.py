import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segclr import files
from segclr.errors import CorruptDataError, DataError, MissingDataError, SegclrError
from segclr.store.buckets import write_buckets
from segclr.store.parquet import from_arrow, read_columns, read_folder, to_arrow, write_columns

NUMBERS = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8", "?"]


def table(n=200, seed=0):
    random = np.random.default_rng(seed)
    return {
        "segment_id": np.sort(random.integers(2**53, 2**64 - 1, n, dtype=np.uint64, endpoint=True)),
        "node_id": np.arange(n, dtype=np.uint32),
        "x_nm": random.normal(size=n).astype(np.float32),
        "parent": np.arange(-1, n - 1, dtype=np.int32),
        "embedding": random.normal(size=(n, 6)).astype(np.float32),
        "split": random.choice(np.array(["train", "ü"], dtype=object), n),
    }


def same(one, other):
    return list(one) == list(other) and all(
        one[k].dtype == other[k].dtype and one[k].shape == other[k].shape and np.array_equal(one[k], other[k])
        for k in one
    )


@given(st.sampled_from(NUMBERS), st.integers(0, 9), st.sampled_from([None, 1, 64]), st.data())
@settings(max_examples=60)
def test_every_type_and_length_comes_back_exactly(dtype, n, width, data):
    shape = n if width is None else (n, width)
    values = data.draw(
        hnp.arrays(np.dtype(dtype), shape, elements={"allow_nan": False} if "f" in dtype else None)
    )
    assert same(from_arrow(to_arrow({"v": values})), {"v": values})
    write_columns("memory://test-parquet/v.parquet", {"v": values})
    assert same(read_columns("memory://test-parquet/v.parquet"), {"v": values})


def test_the_largest_ids_come_back_exactly(tmp_path):
    ids = np.array([0, 2**53 + 1, 2**63 - 1, 2**63, 2**63 + 5, 2**64 - 1], np.uint64)
    url = str(tmp_path / "a.parquet")
    write_columns(url, {"segment_id": ids})
    assert read_columns(url)["segment_id"].tolist() == ids.tolist()
    assert pq.read_schema(url).field("segment_id").type == pa.uint64()


@pytest.mark.parametrize("n", [0, 1, 200])
def test_a_table_comes_back_whole_and_by_column(tmp_path, n):
    made, url = table(n), str(tmp_path / "t.parquet")
    write_columns(url, made, row_group_size=64)
    assert same(read_columns(url), made)
    some = read_columns(url, ["embedding", "segment_id"])
    assert set(some) == {"embedding", "segment_id"}
    assert all(np.array_equal(some[k], made[k]) for k in some)


def test_fixed_width_text_comes_back_as_text(tmp_path):
    url = str(tmp_path / "t.parquet")
    write_columns(url, {"split": np.array(["train", "validation"])})
    assert read_columns(url)["split"].tolist() == ["train", "validation"]


def test_equal_columns_are_equal_bytes(tmp_path):
    for name in ("a", "b"):
        write_columns(str(tmp_path / name), table())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path):
    for name, n in [("b", 3), ("a", 2), ("c", 0)]:
        write_columns(str(tmp_path / f"{name}.parquet"), table(n, seed=n))
    whole = read_folder(str(tmp_path))
    assert np.array_equal(whole["segment_id"], np.r_[table(2, 2)["segment_id"], table(3, 3)["segment_id"]])
    assert whole["segment_id"].dtype == np.uint64
    assert read_folder(str(tmp_path / "nothing")) == {}


@pytest.mark.parametrize("region", ["anywhere", "footer"])
def test_a_flipped_bit_is_caught_or_harmless_and_never_a_wrong_value(tmp_path, region):
    made, url = table(), str(tmp_path / "t.parquet")
    write_columns(url, made, row_group_size=64)
    good = files.read_bytes(url)
    footer = int.from_bytes(good[-8:-4], "little") + 8
    random = np.random.default_rng(1)
    first = 0 if region == "anywhere" else len(good) - footer
    caught = 0
    for position in random.integers(first, len(good), size=500):
        bad = bytearray(good)
        bad[position] ^= 1 << int(random.integers(8))
        (tmp_path / "t.parquet").write_bytes(bytes(bad))
        try:
            assert same(read_columns(url), made)
        except SegclrError:
            caught += 1
    assert caught > 150


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_corrupt_data(tmp_path, share):
    url = str(tmp_path / "t.parquet")
    write_columns(url, table())
    good = files.read_bytes(url)
    (tmp_path / "t.parquet").write_bytes(good[: int(share * len(good))])
    with pytest.raises(CorruptDataError, match="damaged"):
        read_columns(url)


def test_an_absent_file_and_an_absent_column_are_named(tmp_path):
    with pytest.raises(MissingDataError, match="nothing"):
        read_columns(str(tmp_path / "nothing.parquet"))
    url = str(tmp_path / "t.parquet")
    write_columns(url, table())
    with pytest.raises(DataError, match=r"no column radius_nm; it has .*segment_id"):
        read_columns(url, ["segment_id", "radius_nm"])


def test_missing_values_are_refused_and_do_not_become_floats(tmp_path):
    pq.write_table(pa.table({"segment_id": pa.array([2**63 + 5, None], pa.uint64())}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="segment_id has 1 missing"):
        read_columns(str(tmp_path / "t.parquet"))


def test_a_file_of_another_writer_is_read(tmp_path):
    pq.write_table(
        pa.table({"segment_id": pa.array([2**63 + 5], pa.uint64()), "t": ["x"]}), tmp_path / "t.parquet"
    )
    got = read_columns(str(tmp_path / "t.parquet"))
    assert (got["segment_id"].tolist(), got["t"].tolist()) == ([2**63 + 5], ["x"])


def test_lists_of_varying_length_are_refused(tmp_path):
    pq.write_table(pa.table({"v": pa.array([[1.0], [1.0, 2.0]])}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="one fixed size"):
        read_columns(str(tmp_path / "t.parquet"))


def test_reading_starts_no_threads(tmp_path):
    """pyarrow's pool of threads, if it has begun, can abort the process at its end (exit code -6)."""
    columns = table()
    write_columns(str(tmp_path / "columns.parquet"), columns)
    write_buckets(str(tmp_path / "buckets.parquet"), columns, np.arange(200) % 3)
    script = (
        "import os, sys\n"
        "from segclr.store.buckets import read_bucket\n"
        "from segclr.store.parquet import read_columns, write_columns\n"
        "before = set(os.listdir('/proc/self/task'))\n"
        "columns = read_columns(sys.argv[1] + '/columns.parquet')\n"
        "assert len(read_bucket(sys.argv[1] + '/buckets.parquet', 1)['node_id']) == 67\n"
        "write_columns(sys.argv[1] + '/again.parquet', columns)\n"
        "begun = set(os.listdir('/proc/self/task')) - before\n"
        "sys.exit(f'{len(begun)} threads began' if begun else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
