import shutil
from pathlib import Path

import numpy as np
import pytest

from segclr import files
from segclr.errors import CorruptDataError, CubeError, MissingDataError
from segclr.store.cubes import create_cube_store, open_cube_store

SHARD, EDGE, ROWS = 4, 5, 12


def cubes(n=ROWS, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, EDGE, EDGE, EDGE), dtype=np.uint8)


@pytest.fixture(params=["local", "with dots", "memory"])
def any_url(request, tmp_path):
    (tmp_path / "x").mkdir()
    names = {"local": tmp_path / "a b.zarr", "with dots": tmp_path / "x" / ".." / "a b.zarr"}
    url = str(names.get(request.param, f"memory://test-cubes/{tmp_path.name}"))
    yield url
    files.remove(url)


@pytest.fixture
def url(tmp_path):
    return str(tmp_path / "cubes.zarr")


def create(url, rows=ROWS):
    return create_cube_store(url, n_rows=rows, size_vx=EDGE, shard_cubes=SHARD)


@pytest.fixture
def written(url):
    create(url).write(0, cubes())
    return url


def shard(url, number):
    return Path(url) / f"c/{number}/0/0/0"


def test_random_rows_read_what_was_written(any_url):
    store = create(any_url)
    assert len(store.write(0, cubes()[:8])) == 2
    store.write(8, cubes()[8:])
    store = open_cube_store(any_url)
    assert (len(store), store.size_vx, store.shard_cubes) == (ROWS, EDGE, SHARD)
    for rows in ([7], [0, 11, 3, 3], list(range(ROWS))[::-1], []):
        got = store.read(np.array(rows, dtype=np.int64))
        assert got.dtype == np.uint8
        assert np.array_equal(got, cubes()[rows])


def test_a_last_shard_that_is_not_full_reads_as_written(written):
    store = open_cube_store(written)
    store.write(8, cubes(2, seed=1))
    assert np.array_equal(store.read(np.array([8, 9])), cubes(2, seed=1))


def test_the_files_written_are_named_and_there(url):
    assert [Path(p) for p in create(url).write(4, cubes(8))] == [shard(url, 1), shard(url, 2)]
    assert shard(url, 1).is_file()
    assert not shard(url, 0).exists()


@pytest.mark.parametrize("first", [1, 3, 6, -4, 12, 8000])
def test_rows_that_do_not_begin_a_shard_of_the_store_are_refused(url, first):
    store = create(url)
    with pytest.raises(CubeError, match="multiple of 4"):
        store.write(first, cubes(4))
    assert not (Path(url) / "c").exists()


def test_cubes_beyond_the_end_or_of_another_shape_or_type_are_refused(url):
    store = create(url)
    for bad in (cubes(16), cubes(4)[:, 1:], cubes(4).astype(np.uint16), cubes(4).astype(np.int8)):
        with pytest.raises(CubeError, match="must begin"):
            store.write(0, bad)


def test_writing_again_gives_the_same_bytes(written):
    before = [shard(written, i).read_bytes() for i in range(3)]
    open_cube_store(written).write(0, cubes())
    assert [shard(written, i).read_bytes() for i in range(3)] == before


def test_cubes_of_zeros_are_stored_and_not_left_out(url):
    store = create(url)
    store.write(0, np.zeros((SHARD, EDGE, EDGE, EDGE), np.uint8))
    index = np.frombuffer(shard(url, 0).read_bytes()[-16 * SHARD - 4 : -4], np.uint64)
    assert (index < 10_000).all()  # an absent inner chunk has 2**64 - 1 for offset and size
    assert not store.read(np.arange(SHARD)).any()


def test_an_absent_shard_is_an_error_and_not_zeros(written):
    shard(written, 1).unlink()
    store = open_cube_store(written)
    with pytest.raises(CorruptDataError, match="absent"):
        store.read(np.array([0, 5]))
    assert np.array_equal(store.read(np.array([0, 11])), cubes()[[0, 11]])


@pytest.mark.parametrize("keep", [0, 0.3, 0.95])
def test_a_truncated_shard_is_an_error_and_not_zeros(written, keep):
    good = shard(written, 1).read_bytes()
    shard(written, 1).write_bytes(good[: int(len(good) * keep)])
    with pytest.raises(CorruptDataError, match="cannot be decoded"):
        open_cube_store(written).read(np.array([5]))


def test_any_flipped_bit_of_a_shard_is_caught_or_harmless(written):
    store, path = open_cube_store(written), shard(written, 1)
    good = path.read_bytes()
    random = np.random.default_rng(0)
    caught = 0
    for position in random.integers(len(good), size=80):
        bad = bytearray(good)
        bad[position] ^= 1 << int(random.integers(8))
        path.write_bytes(bytes(bad))
        try:
            assert np.array_equal(store.read(np.arange(4, 8)), cubes()[4:8])
        except CorruptDataError:
            caught += 1
    assert caught > 70


@pytest.mark.parametrize("row", [-1, ROWS, 10**6])
def test_rows_that_are_not_there_are_refused(written, row):
    with pytest.raises(CorruptDataError):
        open_cube_store(written).read(np.array([0, row]))


def test_a_store_that_is_there_is_gone_on_with(written):
    assert np.array_equal(create(written).read(np.arange(ROWS)), cubes())


def test_a_store_of_another_shape_is_refused(written):
    with pytest.raises(CubeError, match="holds rows"):
        create(written, rows=16)


def test_a_store_made_anew_in_the_same_place_is_read_anew(written):
    assert len(open_cube_store(written).read(np.array([0]))) == 1
    shutil.rmtree(written)
    create(written, rows=16).write(12, cubes(4, seed=7))
    assert np.array_equal(open_cube_store(written).read(np.array([13])), cubes(4, seed=7)[[1]])


def test_rows_that_do_not_fill_shards_are_refused(url):
    with pytest.raises(CubeError, match="multiple of shard_cubes"):
        create(url, rows=13)


def test_an_absent_store_is_missing_data(url):
    with pytest.raises(MissingDataError, match="no cube store"):
        open_cube_store(url)
