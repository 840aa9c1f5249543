import subprocess
import sys

import numpy as np
import pytest

from segclr.errors import ConfigError, DataError
from segclr.explore import NOISE, Clusters, hdbscan, kmeans

SIZES = (30, 60, 45)


def groups(*, spread=0.05, d=12, seed=0):
    """Three tight groups of 30, 60 and 45 in mixed order, of lengths that differ; and which is which."""
    random = np.random.default_rng(seed)
    truth = random.permutation(np.repeat(np.arange(3), SIZES))
    directions = np.eye(3, d)[truth] + spread * random.normal(size=(len(truth), d))
    return directions * random.uniform(0.5, 20, (len(truth), 1)), truth


def test_labels_go_by_size_then_by_the_first_row_and_noise_stays():
    clusters = Clusters.of(np.array([7, 3, -1, 3, 9, 9, 7, 5, -1]))
    assert clusters.labels.tolist() == [0, 1, NOISE, 1, 2, 2, 0, 3, NOISE]
    assert clusters.sizes.tolist() == [2, 2, 2, 1]
    assert (clusters.n_clusters, clusters.n_noise) == (4, 2)


@pytest.mark.parametrize(
    "method",
    [
        lambda X, seed: kmeans(X, n_clusters=3, seed=seed),
        lambda X, seed: hdbscan(X, min_cluster_size=10, min_samples=3, seed=seed),
    ],
    ids=["kmeans", "hdbscan"],
)
def test_groups_of_directions_are_found_whatever_their_lengths_and_the_seed(method):
    embeddings, truth = groups()
    by_size = np.array([2, 0, 1], dtype=np.int32)[truth]  # 60, 45, 30
    for seed in (0, 5):
        found = method(embeddings, seed)
        clustered = found.labels != NOISE
        assert clustered.mean() > 0.9
        assert np.array_equal(found.labels[clustered], by_size[clustered])
        assert found.sizes.sum() == clustered.sum()


def test_by_straight_line_the_lengths_count():
    values = np.concatenate([np.full((20, 3), 1.0), np.full((10, 3), 9.0)])
    values += 0.01 * np.random.default_rng(0).normal(size=values.shape)
    assert kmeans(values, n_clusters=2, metric="euclidean", seed=0).labels.tolist() == [0] * 20 + [1] * 10


def test_scattered_embeddings_are_noise():
    random = np.random.default_rng(1)
    dense, scattered = 0.01 * random.normal(size=(2, 50, 4)), random.uniform(-5, 5, (12, 4))
    dense[1] += 1
    values = np.concatenate([*dense, scattered])
    found = hdbscan(values, min_cluster_size=20, metric="euclidean", seed=0)
    assert found.n_clusters == 2
    assert (found.labels[100:] == NOISE).all()


def test_the_number_of_threads_changes_no_label():
    code = (
        "import numpy as np\nfrom segclr.explore import hdbscan, kmeans\n"
        "X = np.random.default_rng(0).normal(size=(3000, 8))\n"  # no groups: ends are a matter of digits
        "print(kmeans(X, n_clusters=6, seed=1).labels[:1000].tolist())\n"
        "print(hdbscan(X, min_cluster_size=5, n_components=3, seed=1).labels[:1000].tolist())\n"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={
                "OMP_NUM_THREADS": n,
                "OPENBLAS_NUM_THREADS": n,
                "PYTHONPATH": ":".join(filter(None, sys.path)),
            },
        ).stdout
        for n in ("1", "2")
    }
    assert len(answers) == 1
    assert " 5," in answers.pop()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda X: kmeans(X, n_clusters=0, seed=0), ConfigError, "n_clusters must be 1 or more"),
        (lambda X: kmeans(X, n_clusters=200, seed=0), DataError, "200 clusters need as many"),
        (lambda X: kmeans(np.repeat(X[:2], 5, axis=0), n_clusters=4, seed=0), DataError, "distinct clusters"),
        (lambda X: kmeans(X * np.nan, seed=0), DataError, "finite"),
        (lambda X: kmeans(X, metric="dot", seed=0), ConfigError, "got 'dot'"),
        (lambda X: hdbscan(X, min_cluster_size=1, seed=0), ConfigError, "min_cluster_size must be 2"),
        (lambda X: hdbscan(X, min_samples=0, seed=0), ConfigError, "min_samples must be 1"),
        (lambda X: hdbscan(X, n_components=0, seed=0), ConfigError, "n_components must be 1"),
        (lambda X: hdbscan(X[:9], seed=0), DataError, "a cluster needs 20 embeddings, got 9"),
        (lambda X: hdbscan(X, max_rows=100, seed=0), DataError, "135 embeddings; allowed are 100"),
    ],
)
def test_what_cannot_be_clustered_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call(groups()[0])
