"""How a browser gets at a run's volumes: by their own URL where it can, else served as the run reads them."""

from __future__ import annotations

import logging
import math
from typing import Any, Literal

import numpy as np

from pipelines.run import Run
from segclr import files
from segclr.data import precomputed
from segclr.data.access import Access
from segclr.data.scales import stored_voxel_sizes
from segclr.data.volume import Volume, open_volume
from segclr.errors import ConfigError, VolumeError
from segclr.view.served_volume import ServedVolume

__all__ = ["Which", "direct_source", "served_volume", "volume_url"]

Which = Literal["em", "segmentation"]

_READ_BY_CLIENT = {"raw", "jpeg", "png", "jxl", "compressed_segmentation", "compresso"}
"""Encodings of neuroglancer 2.41, src/datasource/precomputed/base.ts."""

_log = logging.getLogger("segclr.view")


def volume_url(run: Run, which: Which) -> str:
    """The volume's own URL.

    Raises:
        ConfigError: the run has no such volume.
    """
    url = run.volume.em if which == "em" else run.volume.segmentation
    if url is None:
        msg = "the run has no volume.em"
        raise ConfigError(msg)
    return url


def direct_source(run: Run, which: Which) -> str | None:
    """The URL if a browser reads the same from it as the run does, else None.

    That is so for public precomputed volumes with one channel in an encoding that the client knows.
    OME-Zarr and N5 it places by other conventions (half a voxel beside), graphene it shows at another moment.
    """
    wanted, url = run.volume, volume_url(run, which)
    scheme, _, place = url.partition("://")
    remote = not files.is_local(place) and place.startswith(("https://", "http://", "gs://", "s3://"))
    open_to_all = wanted.anonymous or place.startswith("http")
    plain = which == "segmentation" or wanted.normalize is None
    if scheme != "precomputed" or not (remote and open_to_all and plain):
        return None
    scales = precomputed.scales(place, _access(run, which))
    known = all(s.n_channels == 1 and s.encoding in _READ_BY_CLIENT for s in scales)
    return url if known else None


def served_volume(run: Run, which: Which) -> ServedVolume:
    """All scales of a volume as the run would read them, and the run's own, also where it is reduced.

    Raises:
        ConfigError: the run has no such volume.
        VolumeError: it cannot be opened at the run's voxel size.
    """
    wanted, url, access = run.volume, volume_url(run, which), _access(run, which)
    reduction: Literal["mean", "mode"] = "mean" if which == "em" else "mode"
    reading: dict[str, Any] = {"access": access}
    if which == "em":
        reading |= {"grey_range": wanted.grey_range, "normalize": wanted.normalize}
    own = open_volume(
        url,
        voxel_size_nm=wanted.voxel_size_nm,
        downsample=reduction if wanted.downsample else None,
        **reading,
    )
    scales: list[Volume] = [own]
    for size in stored_voxel_sizes(url, access=access):
        if np.allclose(size, own.voxel_size_nm):
            continue
        try:
            scales.append(open_volume(url, voxel_size_nm=size, **reading))
        except VolumeError as error:
            _log.warning("the scale of %s nm of %s is not shown: %s", size, url, error)
    scales.sort(key=lambda volume: math.prod(volume.voxel_size_nm))
    return ServedVolume(tuple(scales), "image" if which == "em" else "segmentation")


def _access(run: Run, which: Which) -> Access:
    """As the run reads it; but where a chunk is missing, looking goes on."""
    wanted = run.volume
    return Access(
        missing="background",
        timeout_s=wanted.timeout_s,
        anonymous=wanted.anonymous,
        channel=wanted.em_channel if which == "em" else wanted.segmentation_channel,
        time=wanted.time,
        timestamp=wanted.timestamp,
        materialization=wanted.materialization,
    )
