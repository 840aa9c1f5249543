import pytest
from hypothesis import given
from hypothesis import strategies as st

from segclr.data.level_grid import LevelBesideGrid, first_voxels
from segclr.errors import VolumeError

SIZE = (4.0, 6.0, 10.0)
FACTORS = (1, 2, 4, 16)
SIZES = [tuple(s * f for s in SIZE) for f in FACTORS]
SHIFTS = {
    "corner": lambda f: 0.0,
    "centre": lambda f: 0.5,
    "relative centre": lambda f: (f - 1) / (2 * f),
}


def nm(voxels, shift):
    return [
        tuple((v + SHIFTS[shift](f)) * s for v, s in zip(voxel, size, strict=True))
        for voxel, size, f in zip(voxels, SIZES, FACTORS, strict=True)
    ]


@pytest.mark.parametrize("shift", SHIFTS)
@given(st.lists(st.tuples(*[st.integers(-99, 99)] * 3), min_size=4, max_size=4))
def test_levels_of_any_one_convention_lie_where_they_were_put(shift, voxels):
    assert first_voxels(nm(voxels, shift), SIZES) == voxels


@given(st.tuples(*[st.integers(-99, 99)] * 3))
def test_one_corner_for_all_levels_is_read_only_where_it_is_a_corner_of_a_voxel(corner):
    first = tuple(c * s for c, s in zip(corner, SIZE, strict=True))
    for f, found in zip(FACTORS, first_voxels([first] * 4, SIZES), strict=True):
        if all(c % f == 0 for c in corner):
            assert found == tuple(c // f for c in corner)
        else:
            assert isinstance(found, LevelBesideGrid)


def test_levels_of_two_conventions_are_read_up_to_the_first_of_the_other():
    corner, relative = nm([(0, 0, 0)] * 4, "corner"), nm([(0, 0, 0)] * 4, "relative centre")
    found = first_voxels([corner[0], relative[1], corner[2], relative[3]], SIZES)
    assert found[:2] == [(0, 0, 0)] * 2
    assert all(isinstance(f, LevelBesideGrid) for f in found[2:])


def test_a_level_beside_the_grid_says_its_name_and_place_when_it_is_opened():
    (beside,) = first_voxels([(1.0, 0.0, 0.0)], [SIZE])
    assert beside.voxel_size_nm == SIZE
    with pytest.raises(VolumeError, match=r"the level begins at 0\.25, 0, 0 .* not on the grid"):
        beside.open(None)
