import numpy as np
import pytest

from pipelines.ids import read_ids
from segclr.errors import DataError, MissingDataError
from segclr.store.parquet import write_columns

IDS = [7, 2**53 + 1, 2**63 + 5, 2**64 - 1]


def test_ids_are_exact_in_every_kind_of_file(tmp_path):
    (tmp_path / "a.txt").write_text("# mine\n" + "\n\n".join(map(str, IDS[::-1])) + "\n7\n")
    (tmp_path / "a.csv").write_text("name,segment_id\n" + "".join(f"x,{i}\n" for i in IDS))
    write_columns(str(tmp_path / "a.parquet"), {"segment_id": np.array(IDS, np.uint64)})
    for kind in ("txt", "csv", "parquet"):
        ids = read_ids(str(tmp_path / f"a.{kind}"))
        assert ids.dtype == np.uint64
        assert ids.tolist() == IDS


@pytest.mark.parametrize("text", ["0", "-3", "1.0", "1e5", str(2**64), "nan", "1_000", "٣"])
def test_what_is_no_id_is_named_with_its_line(tmp_path, text):
    (tmp_path / "a.txt").write_text(f"5\n{text}\n")
    with pytest.raises(DataError, match="line 2"):
        read_ids(str(tmp_path / "a.txt"))


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.parquet"])
def test_an_empty_list_is_an_error(tmp_path, name):
    if name == "a.parquet":
        write_columns(str(tmp_path / name), {"segment_id": np.zeros(0, np.uint64)})
    else:
        (tmp_path / name).write_text("segment_id\n" if name == "a.csv" else "\n# none\n")
    with pytest.raises(DataError, match="lists no segment"):
        read_ids(str(tmp_path / name))


def test_signed_ids_an_absent_column_and_other_files_are_refused(tmp_path):
    write_columns(str(tmp_path / "a.parquet"), {"segment_id": np.array([5], np.int64)})
    with pytest.raises(DataError, match="int64"):
        read_ids(str(tmp_path / "a.parquet"))
    (tmp_path / "a.csv").write_text("id\n5\n")
    with pytest.raises(DataError, match="lacks the column segment_id; it has id"):
        read_ids(str(tmp_path / "a.csv"))
    with pytest.raises(DataError, match="json"):
        read_ids(str(tmp_path / "a.json"))
    with pytest.raises(MissingDataError):
        read_ids(str(tmp_path / "b.txt"))
