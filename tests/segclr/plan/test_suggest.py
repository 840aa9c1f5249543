import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segclr.errors import ConfigError
from segclr.plan import suggest

CORTEX = ((8.0, 8.0, 40.0), (16.0, 16.0, 40.0), (32.0, 32.0, 40.0))
SIZES = st.tuples(*[st.floats(1.5, 1000)] * 3)
VOXELS = st.tuples(*[st.floats(2, 80)] * 3)


def test_a_large_volume_gets_the_papers_cubes():
    found = suggest(CORTEX, (1000.0, 800.0, 500.0))
    assert (found.voxel_size_nm, found.cube_vx, found.downsample) == ((32, 32, 40), 129, False)
    assert (found.spacing_nm, found.max_distance_nm) == (1500, 150_000)
    assert found.min_segment_vx == round(0.04e9 / (32 * 32 * 40)) == 977


def test_a_small_block_gets_what_was_found_best_on_it():
    found = suggest([(10, 10, 10)], (2.5, 2.5, 2.5), most_vx=41)
    assert (found.voxel_size_nm, found.cube_vx, found.downsample) == ((40, 40, 40), 41, True)
    assert (found.max_distance_nm, found.min_segment_vx) == (1500, 125)


@given(VOXELS, SIZES, st.integers(15, 129))
def test_a_cube_is_odd_affordable_and_leaves_a_third_of_every_edge(voxel_nm, size_um, most_vx):
    found = suggest([voxel_nm], size_um, most_vx=most_vx)
    assert found.cube_vx % 2 == 1
    assert 9 <= found.cube_vx <= most_vx
    assert all(cube <= 2 / 3 * edge + 1e-9 for cube, edge in zip(found.cube_um, size_um, strict=True))
    factors = [got / stored for got, stored in zip(found.voxel_size_nm, voxel_nm, strict=True)]
    assert all(f == pytest.approx(round(f)) for f in factors)
    assert found.downsample == (max(factors) > 1.5)
    dust_nm3 = found.min_segment_vx * math.prod(found.voxel_size_nm)
    assert found.min_segment_vx == 1 or dust_nm3 <= 0.04e9 + math.prod(found.voxel_size_nm) / 2
    # at a rounded number, a hair of rounding is no reason to lose a whole digit
    assert found.spacing_nm < found.max_distance_nm <= 600 * min(size_um) * (1 + 1e-9)


def test_a_size_that_is_stored_is_not_reduced_on_the_fly():
    assert not suggest(CORTEX, (1000.0, 800.0, 500.0)).downsample
    assert suggest(CORTEX[:2], (1000.0, 800.0, 500.0)).downsample


@pytest.mark.parametrize(
    ("stored", "size", "most"), [((), (1, 1, 1), 41), (CORTEX, (0, 1, 1), 41), (CORTEX, (9, 9, 9), 0)]
)
def test_what_no_suggestion_can_be_made_of_is_refused(stored, size, most):
    with pytest.raises(ConfigError, match="needs a stored scale"):
        suggest(stored, size, most_vx=most)


def test_a_volume_too_small_for_any_cube_is_refused():
    with pytest.raises(ConfigError, match="too small"):
        suggest(CORTEX, (0.2, 0.2, 0.2))
