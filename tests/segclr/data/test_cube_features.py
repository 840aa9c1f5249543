import numpy as np
import pytest

from segclr.data.cube_features import FEATURE_NAMES, cube_features
from segclr.errors import CubeError


def _row(cube):
    return dict(zip(FEATURE_NAMES, cube_features(cube[None])[0].tolist(), strict=True))


def test_features_of_a_bar_follow_from_its_shape():
    cube = np.zeros((9, 9, 9), np.uint8)
    cube[:, 3:6, 3:6] = 100
    row = _row(cube)
    assert row["occupancy"] == pytest.approx(81 / 729)
    assert row["grey_mean"] == 100
    assert row["grey_spread"] == 0
    assert (row["extent_z"], row["extent_y"], row["extent_x"]) == pytest.approx((1, 1 / 3, 1 / 3))
    assert row["surface"] == pytest.approx(72 / 81)  # the middle voxel of each plane is inside
    assert row["faces"] == pytest.approx(18 / 486)
    assert row["elongation"] == pytest.approx(3.0)  # edges 9 and 3


def test_grey_features_are_those_of_the_masked_voxels_alone():
    rng = np.random.default_rng(0)
    cube = rng.integers(0, 256, (7, 8, 9)).astype(np.uint8)
    inside = cube[cube > 0].astype(float)
    row = _row(cube)
    assert row["grey_mean"] == pytest.approx(inside.mean(), rel=1e-6)
    assert row["grey_spread"] == pytest.approx(inside.std(), rel=1e-6)
    assert row["grey_low"] == pytest.approx((inside < inside.mean() - inside.std()).mean(), rel=1e-6)


def test_elongation_is_that_of_the_covariance_of_the_voxels():
    rng = np.random.default_rng(1)
    cube = (rng.random((8, 8, 8)) < 0.2).astype(np.uint8)
    axes = np.linalg.eigvalsh(np.cov(np.argwhere(cube).T, bias=True) + np.eye(3) / 12)
    assert _row(cube)["elongation"] == pytest.approx(np.sqrt(axes[2] / axes[0]), rel=1e-5)


def test_many_at_once_equal_one_by_one():
    rng = np.random.default_rng(2)
    cubes = (rng.integers(0, 256, (150, 33, 33, 33)) * (rng.random((150, 33, 33, 33)) < 0.3)).astype(np.uint8)
    one = np.concatenate([cube_features(c[None]) for c in cubes[::30]])
    assert np.array_equal(cube_features(cubes)[::30], one)


def test_an_empty_cube_gives_zeros_and_no_cubes_give_no_rows():
    assert not cube_features(np.zeros((1, 5, 5, 5), np.uint8)).any()
    assert cube_features(np.zeros((0, 5, 5, 5), np.uint8)).shape == (0, 10)


def test_other_types_are_refused():
    with pytest.raises(CubeError, match="float64"):
        cube_features(np.zeros((1, 5, 5, 5)))
