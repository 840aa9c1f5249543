"""UMAP: neighbourhoods of embeddings laid out in the plane, to look at (extra ``viz``).

Source: McInnes, Healy, Melville, 2018, arXiv 1802.03426.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segclr.errors import ConfigError, DataError
from segclr.explore.directions import comparable, leading
from segclr.explore.measures import SearchMetric
from segclr.explore.one_thread import one_thread

__all__ = ["UmapProjection", "project_umap"]

_COMPONENTS = 32  # principal components that neighbours are found by
_AT_ONCE = 10_000  # rows that are transformed at once: what comes out depends on it, so it is no option
_PARAMETRIC = "umap.parametric_umap"


@dataclass(frozen=True, kw_only=True, eq=False)
class UmapProjection:
    """A layout of some embeddings.

    Attributes:
        coordinates: float32 [n, k], of the embeddings given, in their order; without a unit.
        fitted: bool [n], False where a row took no part in the fit and was placed into it afterwards.
    """

    coordinates: NDArray[np.float32]
    fitted: NDArray[np.bool_]


def project_umap(
    embeddings: NDArray[np.floating],
    *,
    n_components: int = 2,
    n_neighbors: int = 15,
    min_dist: float = 0.1,
    metric: SearchMetric = "cosine",
    max_fit: int = 20_000,
    seed: int,
) -> UmapProjection:
    """UMAP of 32 principal components, begun at the first of them, in one thread.

    The first call in a process compiles, which takes half a minute or more.

    Args:
        embeddings: [n, d], finite.
        n_components: k, 1 or more.
        n_neighbors: below the number of rows that are fitted; few show detail, many the whole.
        min_dist: how close points may lie, 0 to 1.
        metric: "cosine" compares directions only.
        max_fit: of more rows than this a random sample is fitted, and the others are placed into it.
        seed: of the sample and of the layout.

    Raises:
        ConfigError: a number is out of range, or the extra is not installed.
        DataError: embeddings are not finite, too few, or all equal.
    """
    values = comparable(embeddings, metric)
    if n_components < 1 or n_neighbors < 2 or not 0 <= min_dist <= 1 or max_fit < 1:
        msg = (
            "UMAP takes n_components of 1 or more, n_neighbors of 2 or more, min_dist from 0 to 1, max_fit "
            f"of 1 or more, got {n_components}, {n_neighbors}, {min_dist} and {max_fit}"
        )
        raise ConfigError(msg)
    n_fit = min(len(values), max_fit)
    if n_fit <= max(n_neighbors, n_components + 1) or (values == values[:1]).all():
        msg = (
            f"UMAP needs more than {max(n_neighbors, n_components + 1)} embeddings, not all equal, for "
            f"{n_neighbors} neighbours in {n_components} dimensions; got {n_fit} to fit"
        )
        raise DataError(msg)
    umap = _load_umap()
    fitted = np.ones(len(values), dtype=bool)
    if n_fit < len(values):
        fitted[:] = False
        fitted[np.random.default_rng(seed).choice(len(values), n_fit, replace=False)] = True
    with one_thread(), _one_numba_thread():
        near = leading(values, _COMPONENTS, seed=seed)
        coordinates = np.empty((len(values), n_components), dtype=np.float32)
        model = umap.UMAP(
            n_components=n_components,
            n_neighbors=n_neighbors,
            min_dist=min_dist,
            init="pca" if near.shape[1] >= n_components else "random",
            random_state=seed,
            transform_seed=seed,
            n_jobs=1,
        )
        coordinates[fitted] = model.fit_transform(near[fitted])
        others = np.flatnonzero(~fitted)
        for begin in range(0, len(others), _AT_ONCE):
            some = others[begin : begin + _AT_ONCE]
            coordinates[some] = model.transform(near[some])
    return UmapProjection(coordinates=coordinates, fitted=fitted)


def _load_umap() -> Any:
    """Umap without its neural variant, for which it would import TensorFlow and torch."""
    blocked = _PARAMETRIC not in sys.modules
    if blocked:
        sys.modules[_PARAMETRIC] = None  # type: ignore[assignment]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImportWarning)  # that the variant is not there
            return importlib.import_module("umap")
    except ImportError as error:
        msg = "UMAP needs the extra viz: pip install 'segclr[viz]'; PCA needs nothing"
        raise ConfigError(msg) from error
    finally:
        if blocked:
            del sys.modules[_PARAMETRIC]


@contextlib.contextmanager
def _one_numba_thread() -> Iterator[None]:
    import numba

    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        yield
    finally:
        numba.set_num_threads(before)
