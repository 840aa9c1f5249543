import numpy as np
import pytest

from segclr.data.cube_statistics import cube_statistics, summarise_cubes


def test_statistics_are_those_of_the_voxels_above_background():
    random = np.random.default_rng(0)
    cubes = random.integers(40, 220, (5, 6, 6, 6), dtype=np.uint8)
    cubes[random.random(cubes.shape) < 0.9] = 0
    got = cube_statistics(cubes)
    for i, cube in enumerate(cubes):
        inside = cube[cube > 0]
        assert got["occupancy"][i] == pytest.approx(len(inside) / cube.size)
        assert (got["grey_low"][i], got["grey_high"][i]) == (inside.min(), inside.max())
        assert got["grey_mean"][i] == pytest.approx(inside.mean())


def test_a_blank_cube_has_zeros_and_is_counted():
    cubes = np.zeros((2, 3, 3, 3), np.uint8)
    assert all(v.tolist() == [0, 0] for v in cube_statistics(cubes).values())
    assert summarise_cubes(cube_statistics(cubes)) == {"n_cubes": 2, "n_blank": 2}
    cubes[1, 1, 1, 1] = 9
    summary = summarise_cubes(cube_statistics(cubes))
    assert (summary["n_blank"], summary["grey_low"], summary["grey_high"]) == (1, 9, 9)
    assert summary["occupancy_mean"] == pytest.approx(1 / 54)
