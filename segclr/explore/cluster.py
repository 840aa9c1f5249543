"""Groups of similar embeddings, found without labels."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.exceptions import ConvergenceWarning

from segclr.errors import ConfigError, DataError
from segclr.explore.directions import comparable, leading
from segclr.explore.measures import SearchMetric
from segclr.explore.one_thread import one_thread

__all__ = ["NOISE", "Clusters", "hdbscan", "kmeans"]

NOISE = -1
"""Label of what HDBSCAN finds in no cluster."""

_STARTS = 10  # of k-means; the best is taken


@dataclass(frozen=True, kw_only=True, eq=False)
class Clusters:
    """A cluster for each embedding.

    Attributes:
        labels: int32 [n]; 0 is the largest cluster, among equals the one whose first row comes first;
            :data:`NOISE` stands for none.
        sizes: int64 [c], rows of each cluster, falling.
    """

    labels: NDArray[np.int32]
    sizes: NDArray[np.int64]

    @staticmethod
    def of(labels: NDArray[np.integer]) -> Clusters:
        """From labels in any numbering; those below 0 are noise."""
        found, first, counts = np.unique(labels, return_index=True, return_counts=True)
        real = found >= 0
        order = np.lexsort((first[real], -counts[real]))
        new = np.full(len(found), NOISE, dtype=np.int32)
        new[np.flatnonzero(real)[order]] = np.arange(real.sum())
        return Clusters(labels=new[np.searchsorted(found, labels)], sizes=counts[real][order])

    @property
    def n_clusters(self) -> int:
        """How many, noise not counted."""
        return len(self.sizes)

    @property
    def n_noise(self) -> int:
        """Rows in no cluster."""
        return int((self.labels == NOISE).sum())


def kmeans(
    embeddings: NDArray[np.floating], *, n_clusters: int = 8, metric: SearchMetric = "cosine", seed: int
) -> Clusters:
    """k-means (Lloyd, the best of ten starts): every embedding belongs to the nearest of some means.

    Args:
        embeddings: [n, d], finite.
        n_clusters: 1 or more; it finds as many, whether there are groups or not.
        metric: "cosine" compares directions only.
        seed: of the starts.

    Raises:
        ConfigError: ``n_clusters`` is below 1, or there is no such metric.
        DataError: embeddings are not finite, or fewer of them differ than clusters are asked for.
    """
    values = comparable(embeddings, metric)
    if n_clusters < 1:
        msg = f"n_clusters must be 1 or more, got {n_clusters}"
        raise ConfigError(msg)
    if len(values) >= n_clusters:
        with one_thread(), warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            try:
                model = KMeans(n_clusters, n_init=_STARTS, random_state=seed, copy_x=False)
                return Clusters.of(model.fit_predict(values))
            except ConvergenceWarning as warning:
                msg = f"{n_clusters} clusters of {len(values)} embeddings: {warning}"
                raise DataError(msg) from warning
    msg = f"{n_clusters} clusters need as many embeddings, got {len(values)}"
    raise DataError(msg)


def hdbscan(
    embeddings: NDArray[np.floating],
    *,
    min_cluster_size: int = 20,
    min_samples: int | None = None,
    n_components: int = 16,
    metric: SearchMetric = "cosine",
    max_rows: int = 100_000,
    seed: int,
) -> Clusters:
    """HDBSCAN on principal components: dense groups of any shape and number; what lies between is noise.

    Source: Campello, Moulavi, Sander, PAKDD 2013, 10.1007/978-3-642-37456-2_14.

    Args:
        embeddings: [n, d], finite.
        min_cluster_size: smaller groups are noise; 2 or more.
        min_samples: neighbours (itself included) that make a place dense; None: ``min_cluster_size``. Higher
            means more noise.
        n_components: principal components that are compared.
        metric: "cosine" compares directions only.
        max_rows: more are refused: time grows with the square of their number.
        seed: of the principal component analysis.

    Raises:
        ConfigError: a number is out of range, or there is no such metric.
        DataError: embeddings are not finite, too many, or fewer than a cluster needs.
    """
    values = comparable(embeddings, metric)
    wanted = {"min_cluster_size": (min_cluster_size, 2), "n_components": (n_components, 1)}
    wanted |= {} if min_samples is None else {"min_samples": (min_samples, 1)}
    for name, (value, least) in wanted.items():
        if value < least:
            msg = f"{name} must be {least} or more, got {value}"
            raise ConfigError(msg)
    needed = max(min_cluster_size, min_samples or 0)
    if len(values) < needed:
        msg = f"a cluster needs {needed} embeddings, got {len(values)}"
        raise DataError(msg)
    if len(values) > max_rows:
        msg = (
            f"HDBSCAN compares all pairs, which takes hours for {len(values):,} embeddings; allowed are "
            f"{max_rows:,} (max_rows; --max-nodes of segclr cluster). k-means takes any number"
        )
        raise DataError(msg)
    with one_thread():
        near = leading(values, n_components, seed=seed)
        model = HDBSCAN(min_cluster_size=min_cluster_size, min_samples=min_samples, n_jobs=1, copy=True)
        return Clusters.of(model.fit_predict(near))
