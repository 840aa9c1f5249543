import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segclr.geometry import BoundingBox, center_nm_of_voxels, cube_starts, voxels_of_points

corner = st.tuples(*[st.integers(-40, 40)] * 3)
edges = st.tuples(*[st.integers(0, 12)] * 3)


@st.composite
def boxes(draw):
    start = draw(corner)
    return BoundingBox(start, tuple(a + b for a, b in zip(start, draw(edges), strict=True)))


def voxels_in(box):
    return set(itertools.product(*[range(a, b) for a, b in zip(box.start, box.stop, strict=True)]))


@given(
    st.lists(st.tuples(*[st.integers(-(10**9), 10**9)] * 3), min_size=1, max_size=8),
    st.tuples(*[st.integers(1, 200)] * 3),
)
def test_a_points_voxel_is_the_floor_of_its_nanometres(points, size):
    exact = [[int(Fraction(p) // s) for p, s in zip(point, size, strict=True)] for point in points]
    assert voxels_of_points(points, size).tolist() == exact


@given(
    st.lists(st.tuples(*[st.integers(-(10**6), 10**6)] * 3), min_size=1), st.sampled_from([4.0, 33.0, 0.3])
)
def test_the_centre_of_a_voxel_lies_in_that_voxel(voxels, edge):
    size = (edge, 2 * edge, 3 * edge)
    assert voxels_of_points(center_nm_of_voxels(voxels, size), size).tolist() == [list(v) for v in voxels]


def test_a_voxel_begins_at_its_lower_face_and_ends_before_its_upper_face():
    below = np.nextafter(64.0, 0.0)
    assert voxels_of_points([[32.0, below, 64.0]], (32, 32, 32)).tolist() == [[1, 1, 2]]
    assert voxels_of_points([[-1e-9, -32.0, -32.1]], (32, 32, 32)).tolist() == [[-1, -1, -2]]


@pytest.mark.parametrize("size_vx", [1, 2, 32, 33, 129])
def test_a_cube_starts_half_its_edge_below_the_centres_voxel(size_vx):
    start = cube_starts([[100.0, -1.0, 0.0]], (10, 10, 10), size_vx=size_vx)
    assert start.tolist() == [[10 - size_vx // 2, -1 - size_vx // 2, -(size_vx // 2)]]


@given(boxes(), st.tuples(*[st.integers(1, 7)] * 3))
def test_blocks_tile_a_box_exactly_once(box, size):
    tiles = list(box.blocks(size))
    counted = [v for tile in tiles for v in voxels_in(tile)]
    assert len(counted) == len(set(counted)) == box.n_voxels
    assert set(counted) == voxels_in(box)
    assert all(0 < e <= s for tile in tiles for e, s in zip(tile.size, size, strict=True))
    assert all((a - b) % s == 0 for t in tiles for a, b, s in zip(t.start, box.start, size, strict=True))


@given(boxes(), boxes())
def test_the_intersection_holds_the_common_voxels_and_no_others(one, other):
    common = one.intersect(other)
    assert voxels_in(common) == voxels_in(one) & voxels_in(other)
    assert common.n_voxels == other.intersect(one).n_voxels
    assert one.intersect(one) == one


@given(boxes(), corner)
def test_contains_is_the_half_open_rule(box, voxel):
    probe = [voxel, box.start, box.stop]
    assert box.contains(probe).tolist() == [v in voxels_in(box) for v in probe]


@given(boxes(), corner)
def test_slices_cut_the_boxs_own_voxels_from_an_array(box, shift):
    origin = tuple(a - abs(s) for a, s in zip(box.start, shift, strict=True))
    shape = tuple(b - o for b, o in zip(box.stop, origin, strict=True))[::-1]
    grid = np.broadcast_to(np.arange(shape[2]) + origin[0], shape)
    cut = grid[box.slices_zyx(origin)]
    assert cut.shape == box.shape_zyx
    if cut.size:
        assert (cut.min(), cut.max()) == (box.start[0], box.stop[0] - 1)


@given(boxes(), st.integers(0, 5))
def test_growing_and_shrinking_give_the_box_back(box, margin):
    assert box.grow(margin).grow(-margin) == box
    assert box.grow(margin).size == tuple(e + 2 * margin for e in box.size)


def test_boxes_of_numpy_integers_equal_and_hash_like_plain_ones():
    box = BoundingBox(np.array([1, 2, 3]), np.array([4, 5, 6], dtype=np.uint32))
    assert box == BoundingBox((1, 2, 3), (4, 5, 6))
    assert hash(box) == hash(BoundingBox((1, 2, 3), (4, 5, 6)))
    assert all(type(v) is int for v in (*box.start, *box.stop))


def test_a_box_turned_inside_out_holds_nothing():
    box = BoundingBox((5, 5, 5), (3, 9, 9))
    assert (box.n_voxels, box.shape_zyx, list(box.blocks((2, 2, 2)))) == (0, (4, 4, 0), [])


def test_a_box_of_two_axes_is_refused():
    with pytest.raises(ValueError, match="three numbers"):
        BoundingBox((0, 0), (1, 1))
