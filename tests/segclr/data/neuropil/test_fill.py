import numpy as np
import pytest
from scipy import ndimage

from segclr.data.neuropil.fill import drop_crumbs, fill_gaps, largest_pieces
from segclr.data.neuropil.paint import NOBODY


@pytest.mark.parametrize("seed", range(5))
def test_the_largest_piece_of_each_label_is_that_of_scipy(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, (9, 11, 13))
    kept = largest_pieces(labels)
    for label in range(4):
        pieces, n = ndimage.label(labels == label)
        sizes = np.bincount(pieces.ravel(), minlength=n + 1)[1:]
        mine = kept & (labels == label)
        assert mine.sum() == sizes.max()
        assert ndimage.label(mine)[1] == 1


def test_crumbs_go_to_nobody_and_the_largest_piece_stays():
    owner = np.full((1, 1, 9), NOBODY, dtype=np.int32)
    owner[0, 0] = [0, 1, 0, NOBODY, 2, 2, NOBODY, 1, NOBODY]
    drop_crumbs(owner, np.array([7, 7, 8]))  # vertices 0 and 1 are one cell
    assert owner[0, 0].tolist() == [0, 1, 0, -1, 2, 2, -1, -1, -1]


def test_gaps_fill_one_voxel_a_round_and_only_from_those_that_grow():
    owner = np.full((1, 1, 7), NOBODY, dtype=np.int32)
    owner[0, 0, 0], owner[0, 0, 6] = 0, 1
    fill_gaps(owner, np.array([True, False]), rounds=3, rng=np.random.default_rng(0))
    assert owner[0, 0].tolist() == [0, 0, 0, 0, -1, -1, 1]


def test_filling_keeps_every_segment_in_one_piece():
    rng = np.random.default_rng(1)
    owner = np.full((12, 12, 12), NOBODY, dtype=np.int32)
    for vertex in range(8):
        owner[tuple(rng.integers(0, 12, 3))] = vertex
    seeds = set(np.unique(owner).tolist()) - {NOBODY}
    fill_gaps(owner, np.ones(8, dtype=bool), rounds=40, rng=rng)
    assert (owner != NOBODY).all()
    assert all(ndimage.label(owner == v)[1] == 1 for v in seeds)
