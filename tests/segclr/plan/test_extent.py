import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segclr.data.block_grid import BlockGrid, block_shift
from segclr.geometry import BoundingBox, cube_starts
from segclr.plan import Extent, cube_margins

triples = st.tuples(*(st.integers(1, 8),) * 3)


def chunks_touched(box, bounds, chunk):
    """Every chunk of a grid from the bounds' start that shares a voxel with the box, found one by one."""
    grid = list(bounds.blocks(chunk))
    return [c for c in grid if c.intersect(box).n_voxels]


@settings(max_examples=40)
@given(
    start=st.tuples(*(st.integers(-20, 20),) * 3),
    size=triples,
    block=triples,
    chunk=triples,
    cube=st.integers(1, 9),
    shift=st.tuples(*(st.integers(0, 3),) * 3),
    wanted=st.none() | st.tuples(st.tuples(*(st.floats(0, 0.9),) * 3), st.tuples(*(st.floats(0, 1),) * 3)),
)
def test_reading_is_what_a_loop_over_blocks_and_chunks_counts(start, size, block, chunk, cube, shift, wanted):
    bounds = BoundingBox(start, tuple(a + n for a, n in zip(start, size, strict=True)))
    region = None
    if wanted is not None:  # a box of at least one voxel within the bounds
        low = bounds.start + np.floor(np.multiply(wanted[0], size)).astype(int)
        high = low + 1 + np.floor(np.multiply(wanted[1], bounds.stop - low - 1)).astype(int)
        region = BoundingBox(low, high)
    extent = Extent(bounds, (32, 32, 40), chunk, 8, region)
    before, after = cube_margins(cube)
    grid = BlockGrid(start, block, shift)
    of_voxel = {}
    for voxel in itertools.product(*map(range, extent.box.start, extent.box.stop)):
        of_voxel.setdefault(tuple(grid.blocks_of(np.array([voxel]))[0]), []).append(voxel)
    blocks = [BoundingBox(np.min(v, axis=0), np.max(v, axis=0) + 1) for v in of_voxel.values()]
    grown = [
        BoundingBox(
            tuple(a - m for a, m in zip(b.start, before, strict=True)),
            tuple(a + m for a, m in zip(b.stop, after, strict=True)),
        ).intersect(bounds)
        for b in blocks
    ]
    touched = list(itertools.chain.from_iterable(chunks_touched(g, bounds, chunk) for g in grown))
    reading = extent.reading(block, cube_margins(cube), shift=shift)
    assert reading.n_blocks == len(blocks)
    assert reading.n_voxels == sum(g.n_voxels for g in grown)
    assert reading.n_chunks == len(touched)
    assert reading.n_chunk_voxels == sum(c.n_voxels for c in touched)


@pytest.mark.parametrize("size", [1, 2, 25, 129])
def test_margins_hold_every_cube_of_a_block_and_no_more(size):
    voxels = [[0, 0, 0], [9, 9, 9]]  # the first and last voxel of a block
    starts = cube_starts([[v + 0.5 for v in p] for p in voxels], (1, 1, 1), size_vx=size)
    before, after = cube_margins(size)
    assert -starts[0].min() == before[0]
    assert starts[1].max() + size - 10 == after[0]


def test_chunks_of_a_cube_are_the_mean_over_all_its_places():
    extent = Extent(BoundingBox((0, 0, 0), (600, 600, 600)), (1, 1, 1), (8, 10, 6), 1)
    size, mean = 5, 1.0
    for chunk in extent.chunk_size_vx:
        places = [(first + size - 1) // chunk - first // chunk + 1 for first in range(chunk)]
        mean *= sum(places) / len(places)
    assert extent.chunks_of_cube(size) == pytest.approx(mean)


def test_a_cubic_millimetre_is_counted_without_enumerating_its_blocks():
    bounds = BoundingBox((0, 0, 0), (31250, 31250, 25000))
    extent = Extent(bounds, (32, 32, 40), (64, 64, 64), 8)
    assert extent.volume_um3 == pytest.approx(1e9)
    assert extent.surface_um2 == pytest.approx(6e6)
    assert extent.reading((512, 512, 512)).n_blocks == 62 * 62 * 49
    assert extent.reading((512, 512, 512)).n_voxels == bounds.n_voxels


def test_blocks_moved_by_half_a_chunk_need_each_voxel_195_times_and_eight_together_142_times():
    bounds = BoundingBox((0, 0, 0), (512 * 40 + 64,) * 3)
    for chunk in (64, 128):
        extent = Extent(bounds, (32, 32, 40), (chunk,) * 3, 1)
        shift = block_shift(129, block_vx=(512,) * 3, chunk_vx=extent.chunk_size_vx)
        read = [extent.reading((n,) * 3, cube_margins(129), shift=shift).n_chunk_voxels for n in (512, 1024)]
        assert read[0] / bounds.n_voxels == pytest.approx((640 / 512) ** 3, rel=0.02)
        assert read[1] / bounds.n_voxels == pytest.approx((1152 / 1024) ** 3, rel=0.02)
