import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segclr.data.sweep import sweep
from segclr.data.volume import ArraySource, Volume
from segclr.geometry import BoundingBox

IDS = np.array([2**53 + 1, 2**53 + 2, 2**63 + 5, 2**64 - 1], dtype=np.uint64)
SHAPE, OFFSET = (60, 14, 17), (3, -4, 5)


class Chunked:
    """An array with small chunks that notes which of them are touched by each read."""

    def __init__(self, array, chunk):
        self.inner = ArraySource(array, (4.0, 6.0, 10.0), OFFSET)
        self.url, self.voxel_size_nm, self.bounds, self.dtype = (
            "",
            (4.0, 6.0, 10.0),
            self.inner.bounds,
            array.dtype,
        )
        self.chunk_size_vx = chunk
        self.touched = []

    def read_inside(self, box):
        self.touched += [c.start for c in self.bounds.blocks(self.chunk_size_vx) if c.intersect(box).n_voxels]
        return self.inner.read_inside(box)


def volumes(em_chunk=(8, 8, 8), label_chunk=(4, 4, 4), seed=0):
    random = np.random.default_rng(seed)
    em = random.integers(1, 256, SHAPE, dtype=np.uint8)
    labels = random.choice(np.r_[np.uint64(0), IDS], SHAPE)
    return Volume(Chunked(em, em_chunk)), Volume(Chunked(labels, label_chunk))


@given(
    st.lists(st.tuples(*[st.integers(-15, 75)] * 3), min_size=1, max_size=8),
    st.integers(1, 12),
    st.tuples(*[st.sampled_from([1, 3, 4, 8, 64])] * 3),
    st.integers(0, 2**20),
)
@settings(max_examples=80)
def test_every_cube_lies_in_one_window_with_the_volumes_own_voxels(starts, size, chunk, seed):
    em, segmentation = volumes(chunk, chunk)
    ids = np.random.default_rng(seed).choice(IDS, len(starts))
    grey, labels = (v.read(v.bounds) for v in (em, segmentation))
    seen = []
    for window in sweep(em, segmentation, np.array(starts), ids, size_vx=size):
        seen += window.rows.tolist()
        for row in window.rows:
            cube = BoundingBox(starts[row], np.array(starts[row]) + size).intersect(em.bounds)
            assert cube.intersect(window.block.box) == cube
            there, here = cube.slices_zyx(window.block.box.start), cube.slices_zyx(em.bounds.start)
            assert np.array_equal(window.block.em[there], grey[here])
            label = window.block.label_of[int(ids[row])]
            assert np.array_equal(window.block.labels[there] == label, labels[here] == ids[row])
    reach = [
        i for i, s in enumerate(starts) if BoundingBox(s, np.array(s) + size).intersect(em.bounds).n_voxels
    ]
    assert sorted(seen) == reach


@pytest.mark.parametrize(
    ("em_chunk", "label_chunk"), [((8, 8, 8), (8, 8, 8)), ((8, 8, 8), (4, 4, 16)), ((32, 5, 1), (3, 7, 64))]
)
def test_each_chunk_is_read_once_a_sweep(em_chunk, label_chunk):
    em, segmentation = volumes(em_chunk, label_chunk)
    starts = np.stack(np.meshgrid(range(0, 15, 3), range(-4, 10, 3), range(0, 60, 5)), axis=-1).reshape(-1, 3)
    windows = list(sweep(em, segmentation, starts, np.resize(IDS, len(starts)), size_vx=5))
    assert sum(len(w.rows) for w in windows) > 100
    for volume in (em, segmentation):
        touched = volume.source.touched
        assert len(touched) == len(set(touched))


def test_memory_holds_a_cube_and_a_slab_of_planes_whatever_the_length_of_the_sweep():
    tall = np.zeros((1500, 4, 4), dtype=np.uint64)
    tall[:] = IDS[0]
    em = Volume(ArraySource(np.ones(tall.shape, np.uint8), (1.0, 1.0, 1.0)))
    starts = np.array([(0, 0, z) for z in range(0, 1490, 7)])
    windows = sweep(
        em, Volume(ArraySource(tall, (1.0, 1.0, 1.0))), starts, np.resize(IDS[:1], len(starts)), size_vx=9
    )
    assert max(w.block.em.shape[0] for w in windows) <= 64 + 9


def test_nothing_is_read_where_no_cube_is():
    em, segmentation = volumes()
    assert not list(sweep(em, segmentation, np.array([[3, -4, 5000]]), IDS[:1], size_vx=3))
    assert not em.source.touched
    tall = Volume(Chunked(np.ones((400, 4, 4), np.uint8), (4, 4, 4)))
    ids = Volume(Chunked(np.full((400, 4, 4), IDS[0]), (4, 4, 4)))
    list(sweep(tall, ids, np.array([[3, -4, 5], [3, -4, 302]]), IDS[:2], size_vx=3))
    assert {z for _, _, z in ids.source.touched} == {5, 301}
