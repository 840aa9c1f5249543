"""Ways to look at embeddings without labels."""

from segclr.explore.cluster import NOISE, Clusters, hdbscan, kmeans
from segclr.explore.collapse import describe_collapse
from segclr.explore.neighbours import Neighbours
from segclr.explore.project import Projection, project
from segclr.explore.search import SearchIndex
from segclr.explore.umap import UmapProjection, project_umap

__all__ = [
    "NOISE",
    "Clusters",
    "Neighbours",
    "Projection",
    "SearchIndex",
    "UmapProjection",
    "describe_collapse",
    "hdbscan",
    "kmeans",
    "project",
    "project_umap",
]
