"""Projections of a run's nodes to a few dimensions, in ``projections/<name>.parquet``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.node_results import read_node_result, subject_of, write_node_result
from pipelines.run import Run
from segclr.errors import ConfigError
from segclr.explore import project, project_umap
from segclr.explore.directions import comparable
from segclr.explore.measures import SearchMetric
from segclr.explore.one_thread import one_thread

__all__ = ["ProjectionMethod", "ProjectionSettings", "project_nodes", "read_projection"]

ProjectionMethod = Literal["pca", "umap"]


@dataclass(frozen=True, kw_only=True)
class ProjectionSettings:
    """How to project; what a method has no use for is passed over.

    Attributes:
        method: principal components or UMAP.
        metric: of the embeddings; by cosine they are scaled to length 1 first.
        n_components: dimensions of the answer.
        n_neighbors: of UMAP.
        min_dist: of UMAP.
        max_fit: nodes that UMAP is fitted on; the others are placed into it.
    """

    method: ProjectionMethod = "pca"
    metric: SearchMetric = "cosine"
    n_components: int = 2
    n_neighbors: int = 15
    min_dist: float = 0.1
    max_fit: int = 20_000

    @property
    def used(self) -> dict[str, Any]:
        """Those that the method takes, by name."""
        plain = ("metric", "n_components")
        names = {"pca": plain, "umap": (*plain, "n_neighbors", "min_dist", "max_fit")}
        return {k: v for k, v in asdict(self).items() if k in names[self.method]}

    @property
    def name(self) -> str:
        """Method and dimensions."""
        return f"{self.method}-{self.n_components}"


def project_nodes(
    run: Run,
    settings: ProjectionSettings,
    *,
    folder: str = "embeddings",
    seed: int | None = None,
    name: str | None = None,
) -> str:
    """Project all nodes of a run; answers the table's URL.

    Args:
        run: with embeddings.
        settings: of the method.
        folder: of the embeddings.
        seed: the run's where None.
        name: of the result; by default method and dimensions.

    Raises:
        ConfigError: a setting is out of range, the name is no name, the run has no such embeddings, or UMAP
            is not installed.
        MissingDataError: they are not made yet.
        DataError: there are too few nodes.
    """
    subject = subject_of(run, folder, method=settings.name, name=name, seed=seed)
    embeddings = subject.table.embeddings
    dim = embeddings.shape[1]
    if settings.method == "pca" and settings.n_components > dim:
        msg = f"embeddings of {dim} numbers have {dim} principal components, not {settings.n_components}"
        raise ConfigError(msg)
    told: dict[str, Any] = {"method": settings.method, "settings": settings.used}
    if settings.method == "pca":
        values = comparable(embeddings, settings.metric)
        with one_thread():
            found = project(values, n_components=settings.n_components, seed=subject.seed)
        coordinates = found.coordinates
        told["explained_variance_ratio"] = found.explained_variance_ratio.tolist()
    else:
        layout = project_umap(embeddings, **settings.used, seed=subject.seed)
        coordinates = layout.coordinates
        told |= {"n_fitted": int(layout.fitted.sum()), "packages": ("umap-learn", "pynndescent", "numba")}
    columns = {f"c{i + 1}": np.ascontiguousarray(axis) for i, axis in enumerate(coordinates.T)}
    return write_node_result(run, f"projections/{subject.name}", columns, subject=subject, told=told)


def read_projection(run: Run, name: str) -> dict[str, NDArray[Any]]:
    """Columns segment_id, node_id, x_nm, y_nm, z_nm and c1, c2, ... (float32), one row a node.

    Raises:
        MissingDataError: there is none of this name.
        CorruptDataError: the files are damaged.
        DataError: they were made from embeddings that the run no longer has.
    """
    return read_node_result(run, f"projections/{name}")[0]
