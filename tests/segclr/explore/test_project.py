import numpy as np
import pytest

from segclr.errors import ConfigError, DataError
from segclr.explore import project


def ellipsoid(n=400):
    rng = np.random.default_rng(0)
    return (rng.standard_normal((n, 6)) * [5, 3, 1, 0.5, 0.1, 0.1] + 7).astype(np.float32)


def test_equals_the_eigenvectors_of_the_covariance():
    x = ellipsoid()
    got = project(x, n_components=3, seed=0)
    values, vectors = np.linalg.eigh(np.cov(x.T.astype(float)))
    np.testing.assert_allclose(got.explained_variance_ratio, values[::-1][:3] / values.sum(), rtol=1e-5)
    overlap = np.abs(np.sum(got.components * vectors.T[::-1][:3], axis=1))
    np.testing.assert_allclose(overlap, 1, atol=1e-5)


def test_other_embeddings_land_on_the_same_axes():
    x = ellipsoid()
    got = project(x, seed=0)
    np.testing.assert_allclose(got.apply(x[:20]), got.coordinates[:20], atol=1e-5)


def test_a_reflection_of_rows_does_not_flip_the_picture():
    x = ellipsoid()
    np.testing.assert_allclose(
        project(x[::-1], seed=0).coordinates, project(x, seed=0).coordinates[::-1], atol=1e-3
    )


def test_the_same_seed_gives_the_same_coordinates():
    x = ellipsoid()
    np.testing.assert_array_equal(project(x, seed=1).coordinates, project(x, seed=1).coordinates)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1])
def test_a_collapsed_encoder_is_a_single_point(value):
    x = np.full((5, 4), value, dtype=np.float32)
    got = project(x, seed=0)
    assert not got.coordinates.any()
    assert got.explained_variance_ratio.tolist() == [0, 0]
    np.testing.assert_allclose(got.apply(x), 0, atol=1e-7)


@pytest.mark.parametrize("d", [1, 6])
def test_axes_beyond_the_rank_hold_nothing(d):
    steps = np.random.default_rng(0).standard_normal(50)
    got = project(np.outer(steps, np.ones(d)).astype(np.float32), seed=0)
    assert got.explained_variance_ratio[0] == pytest.approx(1)
    assert got.explained_variance_ratio[1] == 0
    assert not got.coordinates[:, 1].any()
    np.testing.assert_allclose(got.coordinates[:, 0], (steps - steps.mean()) * np.sqrt(d), atol=1e-5)


def test_what_cannot_be_projected_is_refused():
    x = ellipsoid(10)
    with pytest.raises(ConfigError, match="1 or more"):
        project(x, n_components=0, seed=0)
    for bad in (x[:0], x[0]):
        with pytest.raises(DataError, match="above 0"):
            project(bad, seed=0)
    x[2, 2] = np.nan
    with pytest.raises(DataError, match="finite"):
        project(x, seed=0)
