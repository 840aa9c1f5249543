"""Sharded precomputed volumes are read exactly, and what is lost or torn of them is told."""

import numpy as np
import pytest
from cloudvolume import CloudVolume
from hypothesis import given
from hypothesis import strategies as st

from segclr.data.precomputed import compressed_morton_code
from segclr.errors import CorruptDataError, VolumeError
from tests.segclr.data.precomputed_files import OFFSET, SHARDING, opened, write_sharded


@pytest.mark.parametrize("encoding", ["raw", "compressed_segmentation"])
@pytest.mark.parametrize("change", [{}, {"hash": "identity", "data_encoding": "raw"}, {"shard_bits": 6}])
def test_shards_are_read_exactly_and_as_both_libraries_read_them(tmp_path, segmentation, encoding, change):
    write_sharded(tmp_path, segmentation, encoding, {**SHARDING, **change})
    volume = opened(tmp_path)
    assert np.array_equal(volume.read(volume.bounds), segmentation)
    cv = CloudVolume(f"file://{tmp_path}", progress=False)
    assert np.array_equal(np.asarray(cv[:])[..., 0].T, segmentation)
    for box in volume.bounds.grow(3).blocks((7, 9, 11)):
        inside = box.intersect(volume.bounds)
        want = np.zeros(box.shape_zyx, np.uint64)
        want[inside.slices_zyx(box.start)] = segmentation[inside.slices_zyx(OFFSET)]
        assert np.array_equal(volume.read(box), want)


def test_a_lost_shard_is_missing_and_not_black(tmp_path, segmentation):
    # tensorstore's own precomputed driver answers zeros here, whatever fill_missing_data_reads says
    write_sharded(tmp_path, segmentation, "raw", SHARDING)
    for shard in sorted(tmp_path.glob("8_8_10/*.shard"))[:1]:
        shard.unlink()
    volume = opened(tmp_path)
    with pytest.raises(VolumeError, match="missing"):
        volume.read(volume.bounds)


@pytest.mark.parametrize("keep", [0, 8, 200])
def test_a_torn_shard_is_corrupt_data(tmp_path, segmentation, keep):
    write_sharded(tmp_path, segmentation, "raw", SHARDING)
    for shard in tmp_path.glob("8_8_10/*.shard"):
        shard.write_bytes(shard.read_bytes()[:keep])
    volume = opened(tmp_path)
    with pytest.raises(CorruptDataError, match="cannot be decoded"):
        volume.read(volume.bounds)


@given(st.tuples(*[st.integers(1, 9)] * 3))
def test_morton_codes_number_the_chunks_of_a_grid_each_once(grid):
    codes = [
        compressed_morton_code((x, y, z), grid)
        for z in range(grid[2]) for y in range(grid[1]) for x in range(grid[0])
    ]  # fmt: skip
    bits = sum((n - 1).bit_length() for n in grid)
    assert len(set(codes)) == len(codes)
    assert max(codes) < 2**bits
