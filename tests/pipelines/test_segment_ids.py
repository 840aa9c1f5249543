import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.segment_ids import read_segment_ids
from segclr.errors import DataError, MissingDataError

IDS = [7, 2**53 + 1, 2**63 + 5, 2**64 - 1]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "# of layer 5\n{3}\n\n {1} # a comment\n{0}\r\n{2}\n{0}\n"),
        ("a.csv", "name,segment_id\na,{1}\nb, {3}\nc,{0}\nd,{0}\ne,{2}\n"),
        ("a.CSV", '\ufeff"segment_id"\n"{1}"\n"{3}"\n{0}\n{2}\n'),
    ],
)
def test_ids_are_read_exactly_sorted_each_once(tmp_path, name, text):
    (tmp_path / name).write_text(text.format(*IDS))
    ids = read_segment_ids(str(tmp_path / name))
    assert ids.dtype == np.uint64
    assert ids.tolist() == IDS


@pytest.mark.parametrize("kind", [pa.uint64(), pa.int64()])
def test_parquet_of_whole_numbers_is_read(tmp_path, kind):
    ids = [i for i in IDS if kind == pa.uint64() or i < 2**63]
    pq.write_table(pa.table({"segment_id": pa.array(ids[::-1], kind)}), tmp_path / "a.parquet")
    assert read_segment_ids(str(tmp_path / "a.parquet")).tolist() == ids


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "", "holds no segment id"),
        ("a.txt", "# nothing\n\n", "holds no segment id"),
        ("a.csv", "segment_id\n", "holds no segment id"),
        ("a.csv", "", "no column segment_id; it has none"),
        ("a.csv", "root,id\n1,2\n", "no column segment_id; it has root, id"),
        ("a.csv", "segment_id\n5\n8.6e17\n", "line 3: '8.6e17' is not a segment id"),
        ("a.csv", "name,segment_id\nx\n", "line 2: '' is not"),
        ("a.txt", "5\n-1\n", "line 2: '-1' is not"),
        ("a.txt", "0\n", "line 1: '0' is not"),
        ("a.txt", f"{2**64}\n", "is not a segment id"),
        ("a.txt", "864691135591041291.0\n", "is not a segment id"),
        ("a.json", "[5]", r"allowed are \.txt, \.csv and \.parquet"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        read_segment_ids(str(tmp_path / name))


@pytest.mark.parametrize("values", [[5.0], [0], [-3]])
def test_parquet_of_other_numbers_is_refused(tmp_path, values):
    pq.write_table(pa.table({"segment_id": values}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="must be whole numbers above 0"):
        read_segment_ids(str(tmp_path / "a.parquet"))


def test_an_absent_list_is_missing_data(tmp_path):
    with pytest.raises(MissingDataError, match="no such file"):
        read_segment_ids(str(tmp_path / "a.txt"))
