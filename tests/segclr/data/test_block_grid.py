import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from segclr.data.block_grid import BlockGrid, block_shift


@given(st.integers(1, 200), st.integers(1, 6), st.sampled_from([16, 32, 64, 128]), st.integers(-50, 50))
def test_what_is_read_around_a_block_of_odd_cubes_ends_where_chunks_do(reach, chunks, chunk, origin):
    size, block = 2 * reach + 1, chunks * chunk
    (shift, *_) = block_shift(size, block_vx=(block,) * 3, chunk_vx=(chunk,) * 3)
    voxels = np.arange(origin, origin + 4 * block)
    of_voxel = BlockGrid((origin,) * 3, (block,) * 3, (shift,) * 3).blocks_of(
        np.repeat(voxels[:, None], 3, axis=1)
    )
    inner = voxels[of_voxel[:, 0] == 1]
    assert (inner[0] - reach - origin) % chunk == 0
    assert len(inner) == block


def test_the_first_block_is_longer_and_no_voxel_is_in_two():
    blocks = BlockGrid((10, 0, 0), (4, 4, 4), (3, 0, 0)).blocks_of(
        np.array([[10 + i, 0, 0] for i in range(12)])
    )
    assert blocks[:, 0].tolist() == [0] * 7 + [1] * 4 + [2]


def test_blocks_that_are_not_made_of_whole_chunks_stay():
    assert block_shift(129, block_vx=(100, 512, 32), chunk_vx=(64, 128, 64)) == (0, 64, 0)
