"""Masks that grow beyond their segment."""

import numpy as np
import pytest
from scipy import ndimage

from segclr.config import AugmentConfig
from segclr.train.augment import Draws, Growth, grow_mask, sample_growth, view_keys

SELF, LEFT, RIGHT, FAR = 2**53 + 1, 2**63 + 5, 2**64 - 1, 12


@pytest.fixture
def ids():
    """SELF in the middle, LEFT and RIGHT touching it along y, FAR touching neither; 0 between."""
    ids = np.zeros((8, 20, 8), dtype=np.uint64)
    ids[2:6, 8:12, 2:6] = SELF
    ids[2:6, 2:8, 2:6] = LEFT
    ids[2:6, 12:18, 2:6] = RIGHT
    ids[7] = FAR
    return ids


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_dilation_puts_voxels_on_the_surface(ids, depth):
    found = grow_mask(ids == SELF, ids, Growth(depth, None, 1))
    wanted = ids == SELF
    if depth:
        wanted = ndimage.binary_dilation(wanted, iterations=depth)
    assert np.array_equal(found, wanted)


@pytest.mark.parametrize(("draw", "neighbour"), [(0.0, LEFT), (0.49, LEFT), (0.5, RIGHT), (0.99, RIGHT)])
@pytest.mark.parametrize("depth", [1, 4, 100])
def test_a_merge_takes_in_one_touching_segment_as_far_as_told(ids, draw, neighbour, depth):
    found = grow_mask(ids == SELF, ids, Growth(0, draw, depth))
    reach = ndimage.binary_dilation(ids == SELF, iterations=depth) if depth < 100 else np.ones_like(ids, bool)
    assert np.array_equal(found, (ids == SELF) | ((ids == neighbour) & reach))


def test_a_segment_that_touches_none_merges_with_none(ids):
    alone = np.where(ids == SELF, ids, 0)
    assert np.array_equal(grow_mask(alone == SELF, alone, Growth(0, 0.5, 8)), alone == SELF)


def test_growth_is_drawn_for_each_view_on_its_own():
    config = AugmentConfig(dilate_vx=2, merge_probability=0.4, merge_vx=5)
    grown = sample_growth(config, Draws(view_keys(0, np.arange(2000))))
    depths, counts = np.unique([g.dilate_vx for g in grown], return_counts=True)
    assert depths.tolist() == [0, 1, 2]
    assert counts.min() > 4000 / 3 * 0.85
    merged = np.array([g.merge is not None for g in grown])
    assert merged.mean() == pytest.approx(0.4, abs=0.04)
    a, b = merged.reshape(2, -1)
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.1
    assert {g.merge_vx for g in grown} == {5}
