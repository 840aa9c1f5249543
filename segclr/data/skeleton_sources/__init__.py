"""Skeletons from elsewhere: precomputed, SWC, graphene and level-2 graphs, all as one kind of source."""

from __future__ import annotations

import importlib

from segclr.data.skeleton_sources.source import SkeletonBatch, SkeletonSource, Unit
from segclr.errors import SkeletonError

__all__ = ["SkeletonBatch", "SkeletonSource", "open_skeletons"]

_SCHEMES = {"precomputed": "precomputed", "swc": "swc", "graphene": "graphene", "l2": "l2"}
"""Module of each scheme, imported when first needed: the libraries behind them are heavy. Each offers
``open_source(path, unit) -> SkeletonSource``."""


def open_skeletons(url: str, *, unit_nm: float | tuple[float, float, float] = 1.0) -> SkeletonSource:
    """Open a source of skeletons.

    Args:
        url: ``precomputed://...`` (a skeleton folder, or a volume whose info names one), ``swc://FOLDER``
            (files ``<segment id>.swc``), ``graphene://...`` or ``l2://DATASTACK?version=...&server=...``.
        unit_nm: nm of one unit of the source's coordinates, after its own transform; three numbers
            (x, y, z) where it counts voxels.

    Raises:
        SkeletonError: the scheme is unknown, or the source's metadata cannot be used.
        MissingDataError: there is nothing at this URL.
        ConfigError: ``unit_nm`` is not above 0, or a library the scheme needs is not installed.
    """
    scheme, separator, path = url.partition("://")
    if not separator or scheme not in _SCHEMES or not path:
        allowed = ", ".join(f"{name}://" for name in _SCHEMES)
        msg = f"cannot open skeletons at {url!r}: the URL must begin with one of {allowed}"
        raise SkeletonError(msg)
    module = importlib.import_module(f"segclr.data.skeleton_sources.{_SCHEMES[scheme]}")
    source: SkeletonSource = module.open_source(path, Unit.of(unit_nm))
    return source
