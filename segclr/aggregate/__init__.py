"""Mean embeddings over the neighbourhood of each node.

``segclr.aggregate`` is this package and, called, the function of that name: ``segclr.aggregate(table,
radius_um=10)``. Importing any of its modules binds the package over a function of the same name, so the
package itself answers the call.
"""

import sys
from types import ModuleType

from segclr.aggregate.neighbourhood import Neighbours, euclidean_neighbours, path_neighbours
from segclr.aggregate.pool import aggregate
from segclr.config import Metric
from segclr.store.embeddings import EmbeddingTable

__all__ = ["Neighbours", "aggregate", "euclidean_neighbours", "path_neighbours"]


class _CallablePackage(ModuleType):
    def __call__(
        self, table: EmbeddingTable, *, radius_um: float, metric: Metric = "euclidean"
    ) -> EmbeddingTable:
        return aggregate(table, radius_um=radius_um, metric=metric)


sys.modules[__name__].__class__ = _CallablePackage
