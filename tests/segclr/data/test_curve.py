import numpy as np
import pytest

from segclr.data.curve import OCTET_BITS, hilbert_index


def grid(edge):
    return np.argwhere(np.ones((edge,) * 3, dtype=bool))


@pytest.mark.parametrize("edge", [2, 4, 16])
def test_a_box_of_blocks_is_one_unbroken_path_of_neighbours(edge):
    places = grid(edge)
    order = hilbert_index(places)
    assert sorted(order) == list(range(edge**3))
    steps = np.abs(np.diff(places[np.argsort(order)], axis=0))
    assert (steps.sum(axis=1) == 1).all()


def test_eight_blocks_that_form_an_aligned_box_come_together():
    places = grid(8)
    groups = hilbert_index(places) >> OCTET_BITS
    for group in np.unique(groups):
        assert len(np.unique(places[groups == group] // 2, axis=0)) == 1
        assert (groups == group).sum() == 8


def test_far_places_have_places_of_their_own_along_the_curve():
    places = np.array([[2**20 - 1, 0, 5], [2**20 - 1, 1, 5], [0, 2**20 - 1, 2**20 - 1]])
    index = hilbert_index(places)
    assert len(set(index.tolist())) == 3
    assert index.min() >= 0


@pytest.mark.parametrize("bad", [[-1, 0, 0], [0, 0, 2**20]])
def test_places_beyond_the_curve_are_refused(bad):
    with pytest.raises(ValueError, match="2\\^20"):
        hilbert_index(np.array([bad]))


def test_no_places_give_no_index():
    assert len(hilbert_index(np.zeros((0, 3), dtype=np.int64))) == 0
