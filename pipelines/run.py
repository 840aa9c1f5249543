"""A run: one folder, one configuration, and the names of what lies in it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import yaml
from pydantic import ValidationError

from pipelines.given_encoder import follow_encoder
from segclr import files
from segclr._version import __version__
from segclr.config import LabelConfig, RunConfig, VolumeConfig, decisive, digest
from segclr.data.access import Access
from segclr.data.volume import Volume, check_aligned, open_volume
from segclr.errors import (
    ConfigError,
    CorruptDataError,
    CubeError,
    MissingDataError,
    RunMismatchError,
    VolumeError,
)

__all__ = [
    "TRAINED",
    "UNTRAINED",
    "EmbeddingSet",
    "Run",
    "missing_chunks",
    "open_run",
    "run_folder",
    "saved_config",
]


@dataclass(frozen=True)
class EmbeddingSet:
    """Names of what one encoder leads to: the trained one, or the untrained baseline beside it.

    Attributes:
        name: of the set, as the report shows it.
        prefix: of its folders within the run and of its stages' names.
    """

    name: str
    prefix: str = ""

    def folder(self, name: str) -> str:
        """A folder's name within the run."""
        return f"{self.prefix}/{name}" if self.prefix else name

    def stage(self, name: str) -> str:
        """A stage's name, as its records are filed."""
        return f"{self.prefix}-{name}" if self.prefix else name


TRAINED = EmbeddingSet("trained")
UNTRAINED = EmbeddingSet("untrained", "untrained")


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        url: its folder.
        config: its resolved configuration.
    """

    url: str
    config: RunConfig

    def path(self, *names: str) -> str:
        """URL of something within the run."""
        return files.join(self.url, *names)

    @property
    def volume(self) -> VolumeConfig:
        """The configured volume, or the tissue this run makes."""
        if self.config.volume is not None:
            return self.config.volume
        if self.config.tissue is None:
            msg = "the run has neither a volume nor made tissue"
            raise VolumeError(msg)
        from segclr.data.neuropil import volume_urls

        urls = volume_urls(self.path("tissue"))
        size = self.config.tissue.voxel_size_nm
        return VolumeConfig(em=urls["em"], segmentation=urls["segmentation"], voxel_size_nm=size)

    @property
    def skeletons_folder(self) -> str:
        """Where the skeletons' vertex tables are."""
        return self.path("tissue/skeletons" if self.config.skeletons.source == "tissue" else "skeletons")

    @property
    def labels(self) -> LabelConfig:
        """The configured labels, or the made tissue's own."""
        given = self.config.labels
        if self.config.volume is not None or given != LabelConfig():
            return given
        from segclr.data.neuropil import COMPARTMENTS, volume_urls

        return LabelConfig(
            compartments=volume_urls(self.path("tissue"))["compartments"],
            compartment_names={value: name for name, value in COMPARTMENTS.items() if value},
            cell_types=self.path("tissue", "cells"),
        )

    @property
    def _access(self) -> Access:
        """How this run's volumes are read."""
        wanted = self.volume
        return Access(
            missing=wanted.missing,
            timeout_s=wanted.timeout_s,
            anonymous=wanted.anonymous,
            time=wanted.time,
            timestamp=wanted.timestamp,
            materialization=wanted.materialization,
        )

    def open_compartments(self) -> Volume:
        """The label volume that tells compartments.

        Raises:
            ConfigError: the run has none.
            VolumeError: it cannot be opened at the run's voxel size.
        """
        url = self.labels.compartments
        if url is None:
            msg = "the run has no labels.compartments"
            raise ConfigError(msg)
        return open_volume(url, voxel_size_nm=self.volume.voxel_size_nm, access=self._access)

    def open_volumes(self) -> tuple[Volume, Volume]:
        """EM and segmentation on one grid; the common box of both where ``common_bounds`` is set.

        Raises:
            ConfigError: the run has no EM.
            VolumeError: they cannot be opened or do not fit together.
            CubeError: the volume is smaller than a cube.
        """
        wanted = self.volume
        if wanted.em is None:
            msg = "volume.em is needed for cubes and all that comes after them"
            raise ConfigError(msg)
        em = open_volume(
            wanted.em,
            voxel_size_nm=wanted.voxel_size_nm,
            downsample="mean" if wanted.downsample else None,
            grey_range=wanted.grey_range,
            normalize=wanted.normalize,
            access=replace(self._access, channel=wanted.em_channel),
        )
        segmentation = self._open_segmentation()
        if wanted.common_bounds and em.bounds.intersect(segmentation.bounds).n_voxels:
            em, segmentation = em.crop(segmentation.bounds), segmentation.crop(em.bounds)
        check_aligned(em, segmentation)
        size = self.config.cubes.size_vx
        if min(em.bounds.size) < size:
            msg = (
                f"a cube of {size} voxels does not fit into {em.url}, which has {em.bounds.size} voxels "
                f"(x, y, z); set cubes.size_vx to {min(em.bounds.size)} or less"
            )
            raise CubeError(msg)
        return em, segmentation

    def open_segmentation(self) -> Volume:
        """The segmentation, on one grid with the EM where there is one.

        Raises:
            VolumeError: it cannot be opened, or does not fit the EM.
            CubeError: the volume is smaller than a cube.
        """
        if self.volume.em is not None:
            return self.open_volumes()[1]
        segmentation = self._open_segmentation()
        if segmentation.dtype.kind != "u":
            msg = f"segmentation must be of unsigned integers, got {segmentation.dtype} in {segmentation.url}"
            raise VolumeError(msg)
        return segmentation

    def _open_segmentation(self) -> Volume:
        wanted = self.volume
        return open_volume(
            wanted.segmentation,
            voxel_size_nm=wanted.voxel_size_nm,
            downsample="mode" if wanted.downsample else None,
            access=replace(self._access, channel=wanted.segmentation_channel),
        )

    def volume_digest(self) -> str:
        """Digest of the volumes' metadata and of how they are read, an input of every stage that does."""
        wanted = {k: v for k, v in decisive(self.volume).items() if k not in ("em", "segmentation")}
        volumes = self.open_volumes() if self.volume.em is not None else (self._open_segmentation(),)
        return digest([_facts(v) for v in volumes], wanted)


def missing_chunks(*volumes: Volume) -> dict[str, int]:
    """For an outcome's counts: chunks that were not stored and read as background, if there were any."""
    n = sum(volume.n_missing_chunks for volume in volumes)
    return {"missing_chunks": n} if n else {}


def _facts(volume: Volume) -> list[Any]:
    box = volume.bounds
    return [list(volume.voxel_size_nm), box.start, box.stop, list(volume.chunk_size_vx), str(volume.dtype)]


def open_run(config: RunConfig) -> Run:
    """Begin a run, or go on with the one in the folder.

    Raises:
        RunMismatchError: the folder was written with another configuration; the message names the keys.
        ConfigError: the folder cannot be one, or cannot be written, or the configuration does not fit the
            finished encoder it names.
        MissingDataError: that encoder is not there.
        EncoderError: it cannot be understood.
    """
    config = follow_encoder(config)
    run = Run(run_folder(config), config)
    if config.volume is not None:
        run.open_segmentation()
    saved_url = run.path("run.yaml")
    if files.exists(saved_url) and files.exists(run.path("records")):
        saved = saved_config(run.url)
        differing = _differences(decisive(saved), decisive(config))
        if differing:
            msg = (
                f"{run.url} was written with another configuration: {'; '.join(differing)}. Take another run "
                "folder (--set run=...), or these values"
            )
            raise RunMismatchError(msg)
        if saved == config:
            return run
    tree = {k: v for k, v in config.model_dump(mode="json").items() if k != "run"}
    content = {"segclr_version": __version__, "config": tree, "digest": _digest(tree)}
    text = yaml.safe_dump(content, sort_keys=False)
    try:
        files.write_bytes(saved_url, text.encode())
    except OSError as error:
        msg = f"the run folder {run.url} cannot be written: {error.strerror or error}"
        raise ConfigError(msg) from error
    return run


def run_folder(config: RunConfig) -> str:
    """A run's folder as an absolute path or a URL whose file system is at hand.

    Raises:
        ConfigError: it is a file, or its file system is not at hand.
    """
    url = config.run
    if not files.is_local(url):
        try:
            files.exists(url)
        except (ValueError, ImportError) as error:
            msg = f"the run folder {url} cannot be opened: {error}"
            raise ConfigError(msg) from error
        return url
    path = files.local_path(url).expanduser().absolute()
    if path.exists() and not path.is_dir():
        msg = f"the run folder {path} is a file or device; it must be a folder"
        raise ConfigError(msg)
    return str(path)


def saved_config(url: str) -> RunConfig:
    """The configuration in a run's ``run.yaml``.

    Raises:
        MissingDataError: the folder is no run.
        CorruptDataError: the file is not what ``open_run`` writes.
    """
    saved_url = files.join(url, "run.yaml")
    if not files.exists(saved_url):
        msg = f"{url} is no run: there is no run.yaml"
        raise MissingDataError(msg)
    try:
        content = yaml.safe_load(files.read_bytes(saved_url))
        if content["digest"] != _digest(content["config"]):
            msg = f"{saved_url} is damaged or was edited: it does not fit the digest that was written with it"
            raise CorruptDataError(msg)
        return RunConfig.model_validate({**content["config"], "run": url})
    except ValidationError as error:
        keys = ", ".join(".".join(map(str, item["loc"])) for item in error.errors())
        msg = f"{saved_url} is damaged or of another version of segclr; these keys do not fit: {keys}"
        raise CorruptDataError(msg) from error
    except (yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError) as error:
        msg = (
            f"{saved_url} is damaged, or of a version of segclr that wrote no digest into it: take another "
            "run folder, or delete the file, and run the same configuration"
        )
        raise CorruptDataError(msg) from error


def _digest(tree: dict[str, Any]) -> str:
    """Of the configuration as it stands in the file."""
    return files.sha256(json.dumps(tree, sort_keys=True).encode())


def _differences(saved: Any, now: Any, path: str = "") -> list[str]:
    if isinstance(saved, dict) and isinstance(now, dict):
        keys = [*saved, *(k for k in now if k not in saved)]
        below = ((k, f"{path}.{k}" if path else str(k)) for k in keys)
        return [line for k, name in below for line in _differences(saved.get(k), now.get(k), name)]
    return [] if saved == now else [f"{path} was {saved}, is now {now}"]
