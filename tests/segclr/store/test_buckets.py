import errno
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segclr.errors import CorruptDataError, MissingDataError
from segclr.store.buckets import bucket_rows, read_bucket, write_buckets


def columns(n):
    return {
        "segment_id": np.arange(2**64 - n, 2**64 - 1, dtype=np.uint64)[: n - 1]
        if n
        else np.zeros(0, np.uint64),
        "lost": np.arange(max(n - 1, 0)) % 2 == 0,
    }


@given(st.lists(st.integers(0, 4), max_size=30))
def test_each_bucket_holds_its_rows_in_their_order(tmp_path_factory, buckets):
    url = str(tmp_path_factory.mktemp("buckets") / "a.parquet")
    written = columns(len(buckets) + 1)
    write_buckets(url, written, np.array(buckets, dtype=np.int64))
    assert bucket_rows(url) == {b: buckets.count(b) for b in set(buckets)}
    for bucket in range(6):
        read = read_bucket(url, bucket)
        for name, values in written.items():
            assert read[name].dtype == values.dtype
            assert np.array_equal(read[name], values[np.array(buckets, dtype=np.int64) == bucket])


def test_a_file_in_memory_is_opened_by_its_url():
    write_buckets("memory://buckets/a.parquet", columns(4), np.array([7, 7, 2]))
    assert bucket_rows("memory://buckets/a.parquet") == {2: 1, 7: 2}


def test_absent_and_damaged_files_are_named(tmp_path):
    url = str(tmp_path / "a.parquet")
    with pytest.raises(MissingDataError, match="no such file"):
        read_bucket(url, 0)
    write_buckets(url, columns(5000), np.arange(4999) % 3)
    content = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(CorruptDataError, match="damaged"):
        read_bucket(url, 0)
    (tmp_path / "a.parquet").write_bytes(content[:200] + bytes([content[200] ^ 4]) + content[201:])
    with pytest.raises(CorruptDataError, match="damaged"):
        read_bucket(url, 0)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError("by peer"),
        TimeoutError("slow"),
        OSError(errno.ESTALE, "stale"),
        PermissionError(13, "no"),
    ],
)
def test_a_file_that_cannot_be_reached_now_is_not_called_damaged(tmp_path, monkeypatch, error):
    url = str(tmp_path / "a.parquet")
    write_buckets(url, columns(4), np.array([7, 7, 2]))

    whole = (tmp_path / "a.parquet").read_bytes()

    class Unreachable(io.BytesIO):
        def read(self, _n=-1):
            raise error

    monkeypatch.setattr("segclr.store.buckets.fsspec.open", lambda *_: Unreachable(whole))
    with pytest.raises(type(error)) as caught:
        read_bucket(url, 7)
    assert not isinstance(caught.value, CorruptDataError)
