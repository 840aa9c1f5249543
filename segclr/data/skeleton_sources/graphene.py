"""Skeletons stored beside a graphene (chunked graph) segmentation, found through cloud-volume.

Its info lives on the graph's server and names the bucket (``data_dir``) and the folder in it
(``skeletons``); the entries there are precomputed skeletons by root id.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import requests
from cloudvolume import CloudVolume
from cloudvolume.exceptions import AuthenticationError, UnsupportedFormatError
from numpy.typing import NDArray

from segclr.data.skeleton_sources import precomputed
from segclr.data.skeleton_sources.source import SkeletonBatch, Unit
from segclr.errors import MissingDataError, SkeletonError

__all__ = ["GrapheneSkeletons", "open_source"]


def open_source(path: str, unit: Unit) -> GrapheneSkeletons:
    """The skeletons of a graphene segmentation.

    Raises:
        MissingDataError: the server does not answer.
        SkeletonError: the info names no skeletons, or cannot be used.
    """
    url = f"graphene://{path}"
    try:
        info = CloudVolume(url, progress=False, use_https=True).info
    except (UnsupportedFormatError, AuthenticationError, KeyError, ValueError) as error:
        msg = f"{url} cannot be opened: {error}"
        raise SkeletonError(msg) from error
    except requests.RequestException as error:
        msg = f"{url} does not answer: {error}"
        raise MissingDataError(msg) from error
    if not info.get("skeletons"):
        msg = (
            f"the info of {url} names no skeletons; use l2://DATASTACK, or precomputed:// with the address "
            "of the datastack's skeleton service"
        )
        raise SkeletonError(msg)
    folder = f"{precomputed.cloud_path(info['data_dir'])}/{info['skeletons']}"
    stored = precomputed.open_source(folder, unit)
    return GrapheneSkeletons(url, stored)


@dataclass(frozen=True)
class GrapheneSkeletons:
    """Precomputed skeletons of root ids."""

    url: str
    stored: precomputed.PrecomputedSkeletons

    def segment_ids(self) -> NDArray[np.uint64]:
        """Refuse: the folder also holds roots that edits have made obsolete.

        Raises:
            SkeletonError: always.
        """
        msg = f"{self.url} cannot list its segments: its folder also holds outdated roots; give segment_ids"
        raise SkeletonError(msg)

    def read(self, segment_ids: NDArray[np.uint64]) -> SkeletonBatch:
        """As ``PrecomputedSkeletons.read``."""
        return self.stored.read(segment_ids)
