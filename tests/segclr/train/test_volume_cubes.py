"""Cubes cut from the volume when they are asked for."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pytest

from segclr.config import AugmentConfig
from segclr.data.cubes import cut_cubes
from segclr.data.volume import ArraySource, Volume
from segclr.errors import CubeError
from segclr.geometry import BoundingBox, voxels_of_points
from segclr.train import VolumeCubes
from segclr.train.augment import Draws, grow_mask, sample_growth, view_keys

IDS = np.array([0, 1, 2**53 + 1, 2**63 + 5, 2**64 - 1], dtype=np.uint64)
VOXEL_NM, OFFSET, SIZE = (8.0, 8.0, 10.0), (100, -20, 7), 21


@dataclass(frozen=True)
class CountingSource(ArraySource):
    """Says which boxes were read."""

    boxes: list = field(default_factory=list)

    def read_inside(self, box):
        self.boxes.append(box)
        return super().read_inside(box)


@pytest.fixture
def volumes():
    random = np.random.default_rng(0)
    coarse = random.integers(0, len(IDS), (12, 20, 14))
    ids = IDS[np.kron(coarse, np.ones((8, 8, 8), int))]
    em = random.integers(0, 256, ids.shape, dtype=np.uint8)
    return tuple(Volume(CountingSource(array, VOXEL_NM, OFFSET)) for array in (em, ids))


@pytest.fixture
def centers(volumes):
    """60 places within segments, some of whose cubes reach beyond the volume."""
    ids = volumes[1].source.array
    z, y, x = np.array(np.nonzero(ids))[:, np.random.default_rng(1).permutation(np.count_nonzero(ids))[:60]]
    voxels = np.stack([x, y, z], axis=1) + OFFSET
    return (voxels + 0.5) * VOXEL_NM, ids[z, y, x]


@pytest.fixture
def make(volumes, centers):
    def of(**options):
        return VolumeCubes(*volumes, *centers, **{"size_vx": SIZE, "cache_bytes": 2**30, **options})

    return of


@pytest.mark.parametrize("cache_bytes", [1, 10**6, 2**30])
def test_they_are_the_cubes_that_are_cut_at_once(make, volumes, centers, cache_bytes):
    cubes = make(cache_bytes=cache_bytes)
    assert len(cubes) == 60
    rows = np.array([5, 0, 59, 5, 31, *range(60)])
    wanted = cut_cubes(*volumes, *centers, size_vx=SIZE)[rows]
    assert np.array_equal(cubes.read(rows), wanted)
    assert np.array_equal(cubes.read(rows[::-1]), wanted[::-1])


def test_with_room_enough_every_voxel_is_read_once(make, volumes):
    cubes = make()
    for _ in range(2):
        cubes.read(np.arange(60))
    em, _ = volumes
    boxes = em.source.boxes
    assert len(boxes) == len(set(boxes)) > 1
    assert sum(box.n_voxels for box in boxes) <= em.bounds.n_voxels


def test_without_room_one_block_is_kept(make):
    cubes = make(cache_bytes=1)
    cubes.read(np.arange(60))
    assert len(cubes._blocks) == 1


def test_several_threads_read_the_same(make):
    cubes = make(cache_bytes=10**6)
    wanted = make().read(np.arange(60))
    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(cubes.read, [np.arange(60)] * 8):
            assert np.array_equal(found, wanted)


def test_a_copy_in_another_process_begins_empty_and_reads_the_same(make):
    cubes = make()
    wanted = cubes.read(np.arange(60))
    copy = pickle.loads(pickle.dumps(cubes))
    assert not copy._blocks
    assert np.array_equal(copy.read(np.arange(60)), wanted)


def test_grown_masks_are_those_of_the_unmasked_tissue(make, volumes, centers):
    augment = AugmentConfig(dilate_vx=2, merge_probability=0.5, merge_vx=3)
    cubes = make(augment=augment)
    assert cubes.grows
    keys = view_keys(0, np.arange(30))
    found = cubes.read_grown(np.arange(60), keys)
    em, segmentation = volumes
    voxels = voxels_of_points(centers[0], VOXEL_NM)
    growths = sample_growth(augment, Draws(keys))
    for i, (voxel, segment_id) in enumerate(zip(voxels, centers[1], strict=True)):
        box = BoundingBox(voxel - SIZE // 2, voxel - SIZE // 2 + SIZE)
        ids = segmentation.read(box)
        assert np.array_equal(found[i], em.read(box) * grow_mask(ids == segment_id, ids, growths[i]))
    plain = make().read(np.arange(60))
    assert (found[plain > 0] == plain[plain > 0]).all()
    assert (found > 0).sum() > 1.2 * (plain > 0).sum()


def test_without_growth_both_ways_of_reading_agree(make):
    cubes = make()
    assert not cubes.grows
    assert np.array_equal(
        cubes.read_grown(np.arange(60), view_keys(0, np.arange(30))), cubes.read(np.arange(60))
    )


@pytest.mark.parametrize("way", ["read", "read_grown"])
@pytest.mark.parametrize("where", ["another segment", "beyond the volume", "no segment"])
def test_a_centre_outside_its_segment_is_refused(make, volumes, centers, where, way):
    points, ids = centers[0].copy(), centers[1].copy()
    if where == "another segment":
        ids[3] = 77
    elif where == "no segment":
        z, y, x = np.array(np.nonzero(volumes[1].source.array == 0))[:, 0]
        points[3] = (np.array([x, y, z]) + OFFSET + 0.5) * VOXEL_NM
        ids[3] = 0
    else:
        points[3] = 0
    cubes = VolumeCubes(*volumes, points, ids, size_vx=SIZE, cache_bytes=2**30)
    arguments = [np.array([3])] if way == "read" else [np.array([3]), view_keys(0, np.array([0]))[:1]]
    with pytest.raises(CubeError, match=r"centre 3 at voxel .* lies outside its segment"):
        getattr(cubes, way)(*arguments)


@pytest.mark.parametrize("content", ["em", "mask"])
def test_other_contents_are_those_that_are_cut_at_once(volumes, centers, content):
    rows = np.arange(3)
    wanted = cut_cubes(*volumes, *centers, size_vx=SIZE, content=content)[rows]
    cubes = VolumeCubes(*volumes, *centers, size_vx=SIZE, cache_bytes=10**6, content=content)
    assert np.array_equal(cubes.read(rows), wanted)
    assert np.array_equal(cubes.read_grown(rows, np.arange(3, dtype=np.uint64)), wanted)
