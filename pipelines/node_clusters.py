"""Clusters of a run's nodes, in ``clusters/<name>.parquet``."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from numpy.typing import NDArray

from pipelines.node_results import read_node_result, subject_of, write_node_result
from pipelines.run import Run
from segclr.explore import Clusters, hdbscan, kmeans
from segclr.explore.measures import SearchMetric
from segclr.store.embeddings import EmbeddingTable

__all__ = ["ClusterMethod", "ClusterSettings", "cluster_lines", "cluster_nodes", "read_clusters"]

ClusterMethod = Literal["kmeans", "hdbscan"]

_LISTED = 20


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """How to cluster; what a method has no use for is passed over.

    Attributes:
        method: k-means or HDBSCAN.
        metric: of the embeddings.
        n_clusters: of k-means.
        min_cluster_size: of HDBSCAN.
        min_samples: of HDBSCAN; None: ``min_cluster_size``.
        n_components: principal components that HDBSCAN compares.
        max_rows: more nodes are refused by HDBSCAN.
    """

    method: ClusterMethod = "kmeans"
    metric: SearchMetric = "cosine"
    n_clusters: int = 8
    min_cluster_size: int = 20
    min_samples: int | None = None
    n_components: int = 16
    max_rows: int = 100_000

    @property
    def used(self) -> dict[str, Any]:
        """Those that the method takes, by name."""
        names = {
            "kmeans": ("metric", "n_clusters"),
            "hdbscan": ("metric", "min_cluster_size", "min_samples", "n_components", "max_rows"),
        }
        return {k: v for k, v in asdict(self).items() if k in names[self.method]}

    @property
    def name(self) -> str:
        """Method and the number that matters most."""
        return f"{self.method}-{self.n_clusters if self.method == 'kmeans' else self.min_cluster_size}"

    def find(self, table: EmbeddingTable, *, seed: int) -> Clusters:
        """The clusters of all rows."""
        find = kmeans if self.method == "kmeans" else hdbscan
        return find(table.embeddings, **self.used, seed=seed)


def cluster_nodes(
    run: Run,
    settings: ClusterSettings,
    *,
    folder: str = "embeddings",
    seed: int | None = None,
    name: str | None = None,
) -> str:
    """Cluster all nodes of a run; answers the table's URL.

    Args:
        run: with embeddings.
        settings: of the method.
        folder: of the embeddings.
        seed: the run's where None.
        name: of the result; by default method and number.

    Raises:
        ConfigError: a setting is out of range, the name is no name, or the run has no such embeddings.
        MissingDataError: they are not made yet.
        DataError: there are too few or too many nodes.
    """
    subject = subject_of(run, folder, method=settings.name, name=name, seed=seed)
    dim = subject.table.embeddings.shape[1]
    if settings.method == "hdbscan" and settings.n_components > dim:
        settings = replace(settings, n_components=dim)  # all there are
    found = settings.find(subject.table, seed=subject.seed)
    told = {
        "method": settings.method,
        "settings": settings.used,
        "sizes": found.sizes.tolist(),
        "n_noise": found.n_noise,
    }
    place, columns = f"clusters/{subject.name}", {"cluster": found.labels}
    return write_node_result(run, place, columns, subject=subject, told=told)


def read_clusters(run: Run, name: str) -> dict[str, NDArray[Any]]:
    """Columns segment_id, node_id, x_nm, y_nm, z_nm and cluster (int32, -1: noise), one row a node.

    Raises:
        MissingDataError: there is none of this name.
        CorruptDataError: the files are damaged.
        DataError: they were made from embeddings that the run no longer has.
    """
    return read_node_result(run, f"clusters/{name}")[0]


def cluster_lines(told: dict[str, Any]) -> list[str]:
    """How large the clusters are, a line each."""
    n_nodes, sizes = told["n_nodes"], told["sizes"]
    parts = [(f"cluster {i}", n) for i, n in enumerate(sizes[:_LISTED])]
    if len(sizes) > _LISTED:
        parts.append((f"{len(sizes) - _LISTED} smaller ones", sum(sizes[_LISTED:])))
    if told["n_noise"]:
        parts.append(("noise", told["n_noise"]))
    return [f"{what}: {n} nodes ({100 * n / n_nodes:.1f} %)" for what, n in parts]
