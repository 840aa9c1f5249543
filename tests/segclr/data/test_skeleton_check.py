import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segclr.data.skeleton import Skeleton
from segclr.data.skeleton_check import check_frame, shares_outside
from segclr.data.volume import ArraySource, Volume
from segclr.errors import SkeletonError

SIZE = (32.0, 32.0, 40.0)
OFFSET = (5, -3, 7)
IDS = np.array([0, 2**53 + 1, 2**63 + 5, 2**64 - 1], dtype=np.uint64)
TUBE = 2**64 - 1


class Counted(ArraySource):
    """Remembers the boxes that were read."""

    boxes: list = []  # noqa: RUF012

    def read_inside(self, box):
        self.boxes.append(box)
        return super().read_inside(box)


def volume(array, offset=OFFSET):
    return Volume(Counted(array, SIZE, offset))


def skeleton(segment_id, points):
    points = np.asarray(points, dtype=np.float32).reshape(-1, 3)
    n = len(points)
    return Skeleton(segment_id, points, np.arange(-1, n - 1, dtype=np.int32), np.ones(n, np.float32))


@pytest.fixture
def tube():
    """A tube along x, far from the origin, and its axis in nm."""
    labels = np.zeros((40, 50, 400), dtype=np.uint64)
    labels[10:14, 20:24] = TUBE
    x = np.arange(400)
    voxels = np.stack([x, np.full(400, 22), np.full(400, 12)], axis=1) + 0.5
    return volume(labels, (1000, 2000, 300)), (voxels + np.array([1000, 2000, 300])) * SIZE


@given(st.integers(0, 2**32), st.sampled_from([(4, 4, 4), (7, 3, 256), (256, 256, 256)]))
def test_shares_equal_a_look_at_every_vertex_and_no_voxel_is_read_twice(seed, block_vx):
    random = np.random.default_rng(seed)
    labels = random.choice(IDS, (6, 8, 11))
    segmentation = volume(labels)
    Counted.boxes.clear()
    skeletons = [
        skeleton(int(i), random.uniform((-3, -5, 3), (20, 9, 17), (random.integers(0, 12), 3)) * SIZE)
        for i in IDS[1:]
    ]
    expected = []
    for s in skeletons:
        wrong = 0
        for point in s.points_nm.astype(float):
            x, y, z = (int(np.floor(p / size)) - o for p, size, o in zip(point, SIZE, OFFSET, strict=True))
            inside = 0 <= x < 11 and 0 <= y < 8 and 0 <= z < 6
            wrong += not (inside and labels[z, y, x] == s.segment_id)
        expected.append(wrong / len(s) if len(s) else 0.0)
    assert shares_outside(skeletons, segmentation, block_vx=block_vx).tolist() == pytest.approx(expected)
    boxes = Counted.boxes
    assert not any(a.intersect(b).n_voxels for i, a in enumerate(boxes) for b in boxes[:i])


def test_skeletons_in_their_segments_pass(tube):
    segmentation, axis = tube
    check_frame([skeleton(TUBE, axis)], segmentation, max_outside=0.0)
    check_frame([], segmentation, max_outside=0.0)
    check_frame([skeleton(TUBE, [])], segmentation, max_outside=0.0)


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (
            lambda p: p / 1000,
            r"multiplied by 1000 \(micrometres\), 0\.0% would, so change skeletons\.unit_nm",
        ),
        (lambda p: p / SIZE, r"multiplied by the voxel size 32x32x40 \(voxels\), 0\.0% would, so change"),
        (lambda p: p * 1000, r"divided by 1000, 0\.0% would"),
        (lambda p: p[:, ::-1], r"read as \(z, y, x\), 0\.0% would, so swap"),
        (lambda p: p + np.array([0, 500, 0]), "No usual change of unit would mend it"),
        (lambda p: p * 1e30, "No usual change of unit would mend it"),
    ],
)
def test_a_wrong_frame_is_refused_with_the_share_and_a_hint(tube, change, hint):
    segmentation, axis = tube
    with pytest.raises(SkeletonError, match=rf"100\.0% of 400 vertices.*up to 50\.0%.*{hint}"):
        check_frame([skeleton(TUBE, change(axis))], segmentation, max_outside=0.5)


def test_the_share_is_over_all_skeletons_and_up_to_the_limit_is_allowed(tube):
    segmentation, axis = tube
    both = [skeleton(TUBE, axis[:300]), skeleton(TUBE - 1, axis[300:])]
    check_frame(both, segmentation, max_outside=0.25)
    with pytest.raises(SkeletonError, match=r"25\.0% of 400 vertices, taken from 2 skeletons"):
        check_frame(both, segmentation, max_outside=0.24)
    assert shares_outside(both, segmentation).tolist() == [0, 1]


def test_of_many_vertices_a_thousand_are_looked_at(tube):
    segmentation, axis = tube
    with pytest.raises(SkeletonError, match=r"100\.0% of 1000 vertices"):
        check_frame([skeleton(7, np.tile(axis, (10, 1)))], segmentation, max_outside=0.5)
