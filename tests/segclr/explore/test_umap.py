"""One test only lays out: the first call compiles for half a minute."""

import sys

import numpy as np
import pytest

from segclr.errors import ConfigError, DataError
from segclr.explore import project_umap


def test_groups_stay_together_and_the_same_seed_gives_the_same_layout():
    random = np.random.default_rng(0)
    truth = random.permutation(np.repeat(np.arange(3), 40))
    embeddings = 8 * np.eye(3, 8)[truth] + random.normal(size=(120, 8))
    first, again = (project_umap(embeddings, n_neighbors=10, max_fit=100, seed=1) for _ in range(2))
    assert np.array_equal(first.coordinates, again.coordinates)
    assert first.coordinates.shape == (120, 2)
    assert first.fitted.sum() == 100
    distance = np.linalg.norm(first.coordinates[:, None] - first.coordinates, axis=2)
    np.fill_diagonal(distance, np.inf)
    nearest = truth[distance.argmin(axis=1)] == truth
    assert nearest[first.fitted].mean() > 0.95
    assert nearest[~first.fitted].mean() > 0.9
    assert "umap.parametric_umap" not in sys.modules  # which would load TensorFlow and torch


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"n_neighbors": 1}, ConfigError, "n_neighbors of 2 or more"),
        ({"n_neighbors": 30}, DataError, "more than 30 embeddings"),
        ({"max_fit": 10}, DataError, "got 10 to fit"),
        ({"embeddings": np.ones((30, 4))}, DataError, "not all equal"),
        ({"embeddings": np.full((30, 4), np.inf)}, DataError, "finite"),
    ],
)
def test_what_cannot_be_laid_out_is_refused(changes, error, words):
    embeddings = np.random.default_rng(0).normal(size=(30, 4))
    with pytest.raises(error, match=words):
        project_umap(**{"embeddings": embeddings, "seed": 0, **changes})


def test_without_the_extra_the_refusal_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ConfigError, match="extra viz"):
        project_umap(np.random.default_rng(0).normal(size=(30, 4)), seed=0)
