import numpy as np
import pytest

from segclr.data.snap import snap_points
from segclr.data.volume import ArraySource, Volume
from segclr.geometry import center_nm_of_voxels, voxels_of_points

ID = 2**63 + 5  # equal to its neighbour ID + 1 as float64
SIZE, OFFSET = (4.0, 6.0, 10.0), (-3, 8, 5)


@pytest.fixture(scope="module")
def segmentation():
    random = np.random.default_rng(0)
    labels = random.choice(np.array([0, ID, ID + 1], np.uint64), (12, 13, 14), p=[0.5, 0.1, 0.4])
    return Volume(ArraySource(labels, SIZE, OFFSET))


def nearest(segmentation, point, reach):
    labels = segmentation.read(segmentation.bounds)
    own = np.argwhere(labels == ID)[:, ::-1] + np.asarray(OFFSET)
    centers = center_nm_of_voxels(own, SIZE)
    gap = np.linalg.norm(centers - point, axis=1)
    return gap.min() if gap.min() <= reach else None


@pytest.mark.parametrize("reach", [0.0, 6.0, 15.0, 40.0])
def test_a_point_moves_to_its_nearest_own_voxel_or_is_lost(segmentation, reach):
    random = np.random.default_rng(1)
    low = (np.array(OFFSET) - 2) * SIZE
    points = (low + random.random((60, 3)) * np.array([18, 17, 16]) * SIZE).astype(np.float32)
    snapped = snap_points(points, np.full(60, ID, np.uint64), segmentation, reach_nm=reach)
    labels = segmentation.read(segmentation.bounds)
    for i, point in enumerate(points):
        x, y, z = voxels_of_points(point, SIZE)[0] - OFFSET
        inside = (
            all(0 <= v < n for v, n in zip((z, y, x), labels.shape, strict=True)) and labels[z, y, x] == ID
        )
        gap = None if inside else nearest(segmentation, point.astype(float), reach)
        assert snapped.moved[i] == (not inside and gap is not None)
        assert snapped.lost[i] == (not inside and gap is None)
        if snapped.moved[i]:
            assert np.linalg.norm(snapped.points_nm[i] - point) == pytest.approx(gap, rel=1e-4)
        else:
            assert np.array_equal(snapped.points_nm[i], point)
    x, y, z = (voxels_of_points(snapped.points_nm[~snapped.lost], SIZE) - OFFSET).T
    assert (labels[z, y, x] == ID).all()


def test_snapping_does_not_depend_on_the_block(segmentation):
    random = np.random.default_rng(2)
    points = ((np.array(OFFSET) + random.random((40, 3)) * [14, 13, 12]) * SIZE).astype(np.float32)
    ids = np.full(40, ID, np.uint64)
    whole = snap_points(points, ids, segmentation, reach_nm=12)
    small = snap_points(points, ids, segmentation, reach_nm=12, block_vx=(3, 5, 2))
    assert np.array_equal(whole.points_nm, small.points_nm)
    assert np.array_equal(whole.lost, small.lost)


def test_points_far_beyond_the_volume_are_lost(segmentation):
    points = np.array([[1e6, 0, 0], [0, -1e6, 0]], np.float32)
    assert snap_points(points, np.full(2, ID, np.uint64), segmentation, reach_nm=50).lost.all()


def test_no_chunk_is_read_twice_where_points_lie_inside(segmentation):
    read = []

    class Counting:
        def __getattr__(self, name):
            return getattr(segmentation, name)

        def read(self, box):
            read.append(box)
            return segmentation.read(box)

    labels = segmentation.read(segmentation.bounds)
    own = np.argwhere(labels == ID)[:, ::-1] + np.asarray(OFFSET)
    points = center_nm_of_voxels(own, SIZE).astype(np.float32)
    snap_points(points, np.full(len(own), ID, np.uint64), Counting(), reach_nm=40, block_vx=(4, 4, 4))
    assert all(one.intersect(other).n_voxels == 0 for i, one in enumerate(read) for other in read[:i])
