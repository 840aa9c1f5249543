import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segclr.data.cubes import cut_cubes
from segclr.data.labels import LabelledBlock, read_block
from segclr.data.volume import ArraySource, Volume
from segclr.embed.cut import device_block, to_device
from segclr.geometry import BoundingBox, cube_starts

IDS = np.array([2**53 + 1, 2**53 + 2, 2**63 + 5, 2**64 - 1], dtype=np.uint64)
VOXEL = (4.0, 6.0, 10.0)
SHAPE, OFFSET = (20, 22, 24), (3, -4, 5)
KINDS = {"host": to_device, "gathered": device_block}
"""How a CPU cuts, and how an accelerator does, which is tried on CPUs too."""


@pytest.fixture(scope="module")
def tissue():
    random = np.random.default_rng(0)
    labels = random.choice(np.r_[np.uint64(0), IDS], SHAPE)
    em = random.integers(1, 256, SHAPE, dtype=np.uint8)
    return Volume(ArraySource(em, VOXEL, OFFSET)), Volume(ArraySource(labels, VOXEL, OFFSET))


@pytest.mark.parametrize("kind", KINDS)
@given(
    voxels=st.lists(st.tuples(*[st.integers(-30, 60)] * 3), min_size=1, max_size=6),
    size=st.integers(1, 30),
    seed=st.integers(0, 2**20),
    content=st.sampled_from(["masked", "em", "mask"]),
)
@settings(max_examples=40)
def test_cubes_cut_on_the_device_equal_cut_cubes_bit_for_bit(
    tissue, kind, device, voxels, size, seed, content
):
    em, seg = tissue
    ids = np.random.default_rng(seed).choice(np.r_[IDS, np.uint64(99)], len(voxels))  # 99 is not there
    centers = (np.array(voxels) + 0.5) * VOXEL
    block = read_block(em, seg, em.bounds)
    starts = cube_starts(centers, VOXEL, size_vx=size)
    cut = KINDS[kind](block, device, content=content).cut(starts, block.labels_of(ids), size_vx=size)
    want = cut_cubes(em, seg, centers, ids, size_vx=size, on_outside="keep", content=content)
    assert cut.dtype == torch.uint8
    assert np.array_equal(cut.cpu().numpy(), want)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_a_touching_neighbour_leaks(kind, device):
    labels = np.full((6, 6, 6), 2**63 + 5, np.uint64)
    labels[:, :, 3:] = 2**63 + 6  # equal as float64
    em = Volume(ArraySource(np.where(labels == 2**63 + 5, 100, 200).astype(np.uint8), VOXEL))
    block = read_block(em, Volume(ArraySource(labels, VOXEL)), BoundingBox((0, 0, 0), (6, 6, 6)))
    both = block.labels_of(np.array([2**63 + 5, 2**63 + 6], np.uint64))
    one, other = KINDS[kind](block, device).cut(np.zeros((2, 3), np.int64), both, size_vx=6).cpu().numpy()
    assert set(np.unique(one)) == {0, 100}
    assert set(np.unique(other)) == {0, 200}


@pytest.mark.parametrize("highest", [200, 60_000, 70_000])
def test_labels_of_every_width_are_told_apart(highest, device):
    kind = np.min_scalar_type(highest)
    labels = np.array([[[0, 1, highest - 1, highest, 128]]], dtype=kind)
    box = BoundingBox((0, 0, 0), (5, 1, 1))
    block = LabelledBlock(box, np.full(labels.shape, 7, np.uint8), labels, {})
    assert device_block(block, device).labels.element_size() == kind.itemsize
    for label in (1, highest - 1, highest, 128, -1):
        for cutter in KINDS.values():
            got = cutter(block, device).cut(np.array([[0, 0, 0]]), np.array([label]), size_vx=5)
            assert got[0, 0, 0].tolist() == [7 * int(v == label) for v in labels[0, 0].tolist()]


@pytest.mark.parametrize("kind", KINDS)
def test_no_cubes_give_none(tissue, kind, device):
    block = KINDS[kind](read_block(*tissue, tissue[0].bounds), device)
    assert block.cut(np.zeros((0, 3), np.int64), np.zeros(0, np.int64), size_vx=5).shape == (0, 5, 5, 5)
