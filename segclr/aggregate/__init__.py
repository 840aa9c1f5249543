"""What the neighbourhood of each node is like: means of embeddings, their spread, learned pooling.

``segclr.aggregate`` is this package and, called, the function of that name: ``segclr.aggregate(table,
radius_um=10)``. Importing any of its modules binds the package over a function of the same name, so the
package itself answers the call.
"""

import sys
from types import ModuleType

from segclr.aggregate.attention import AttentionPooling
from segclr.aggregate.neighbourhood import Neighbours, euclidean_neighbours, path_neighbours
from segclr.aggregate.pool import aggregate
from segclr.config import Metric, Weighting
from segclr.store.embeddings import EmbeddingTable

__all__ = ["AttentionPooling", "Neighbours", "aggregate", "euclidean_neighbours", "path_neighbours"]


class _CallablePackage(ModuleType):
    def __call__(
        self,
        table: EmbeddingTable,
        *,
        radius_um: float,
        metric: Metric = "euclidean",
        weighting: Weighting | AttentionPooling = "uniform",
        spread: bool = False,
        threads: int = 1,
    ) -> EmbeddingTable:
        return aggregate(
            table, radius_um=radius_um, metric=metric, weighting=weighting, spread=spread, threads=threads
        )


sys.modules[__name__].__class__ = _CallablePackage
