"""The volume, its skeletons, nodes, pairs and cubes."""

from __future__ import annotations

import itertools
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from segclr.config.section import FREE, Edge, NotNegative, Point, Positive, Section, Size

__all__ = ["CubeConfig", "NodeConfig", "PairConfig", "SkeletonConfig", "VolumeConfig"]


class VolumeConfig(Section):
    """The EM volume and the draft segmentation."""

    em: str | None = Field(
        None,
        description="URL of the EM: precomputed://, zarr:// (OME-Zarr) or n5://; skeletons, nodes and pairs "
        "need none",
    )
    segmentation: str = Field(description="URL of the segmentation, same schemes or graphene://")
    voxel_size_nm: Size = Field(description="nm (x, y, z) at which cubes are cut")
    downsample: bool = Field(
        default=False, description="average EM and take the mode of labels where that size is not stored"
    )
    common_bounds: bool = Field(
        default=False, description="where EM and segmentation cover different boxes, work on the common one"
    )
    missing: Literal["error", "background"] = Field(
        "error", description="a chunk that is not stored: stop, or read 0 and count it"
    )
    timeout_s: Annotated[float, FREE] = Field(
        300.0, gt=0, description="deadline of each read, its retries included"
    )
    anonymous: Annotated[bool, FREE] = Field(
        default=True, description="read gs:// and s3:// without credentials (public buckets)"
    )
    grey_range: tuple[float, float] | None = Field(
        None, description="stored EM values that become 0 and 255; needed where EM is not uint8"
    )
    normalize: Literal["clahe", "zscore"] | None = Field(
        None, description="even out EM's local contrast, section by section over tiles of 128 x 128 voxels"
    )
    em_channel: int | None = Field(None, ge=0, description="channel of the EM, where it has several")
    segmentation_channel: int | None = Field(
        None, ge=0, description="channel of the segmentation, where it has several"
    )
    time: int | None = Field(None, ge=0, description="time point of both, where they have several")
    timestamp: str | None = Field(
        None, description="moment of a graphene segmentation, ISO 8601, UTC where no zone is given"
    )
    materialization: str | None = Field(
        None, description="of a graphene segmentation instead: datastack/version (extra cave)"
    )

    @model_validator(mode="after")
    def _check_volumes(self) -> Self:
        if (
            self.em is not None
            and self.em.rstrip("/") == self.segmentation.rstrip("/")
            and (self.em_channel == self.segmentation_channel)
        ):
            msg = f"em and segmentation are the same volume, {self.em}; they must be two"
            raise ValueError(msg)
        if self.grey_range is not None and not self.grey_range[0] < self.grey_range[1]:
            msg = f"grey_range must be two numbers, the lower first, got {list(self.grey_range)}"
            raise ValueError(msg)
        return self


class SkeletonConfig(Section):
    """Where skeletons come from."""

    source: Literal["kimimaro", "tissue", "url"] = Field(
        "kimimaro",
        description="kimimaro: made from the segmentation; tissue: the made tissue's own; url: read from url",
    )
    url: str | None = Field(
        None, description="of skeletons: precomputed://, swc:// (a folder), graphene:// or l2:// (CAVE)"
    )
    unit_nm: Positive | Size = Field(
        1.0, description="nm of one unit of the url's coordinates; three (x, y, z) where it counts voxels"
    )
    segment_ids: str | None = Field(
        None,
        description="URL of the segments to read from url: .txt, one a line, .csv or .parquet with "
        "segment_id; absent: all that the url lists (graphene and l2 list none)",
    )
    max_outside: float = Field(
        0.5,
        ge=0,
        le=1,
        description="a skeleton of the url with a larger share of its vertices outside its segment is "
        "left out, and all are refused where together they have; 1: not checked",
    )
    min_segment_vx: int = Field(1000, ge=1, description="smaller segments get no skeleton (dust)")
    teasar_scale: float = Field(1.5, gt=0, description="TEASAR invalidation radius = scale * radius + const")
    teasar_const_nm: float = Field(300.0, ge=0, description="nm, see teasar_scale")
    block_vx: tuple[Edge, Edge, Edge] = Field(
        (512, 512, 256), description="voxels (x, y, z) skeletonized at once; 40 bytes of memory each"
    )
    n_shards: int = Field(4, ge=1, description="files the skeletons are divided into, by segment id")
    precomputed: Literal["none", "unsharded", "sharded"] = Field(
        "sharded", description="also written for Neuroglancer: not, one file a segment, or few large files"
    )

    @model_validator(mode="after")
    def _check_url(self) -> Self:
        if (self.source == "url") != (self.url is not None):
            msg = f"source is {self.source} and url is {self.url}: source: url and a url go together"
            raise ValueError(msg)
        return self


class NodeConfig(Section):
    """Places on the skeletons that get an embedding."""

    spacing_nm: float = Field(1500.0, gt=0, description="nm of path between neighbouring nodes")
    smooth_nm: float = Field(
        500.0,
        ge=0,
        description="nm of path over which a skeleton is averaged first: paths from voxel to voxel zigzag",
    )
    snap_nm: float = Field(
        500.0,
        ge=0,
        description="a node outside its segment moves to its nearest voxel within this, else dropped",
    )
    soma_radius_nm: float | None = Field(
        None, gt=0, description="nodes of this radius or more are flagged as soma; null: no such column"
    )
    min_cable_nm: float = Field(0.0, ge=0, description="segments with less cable get no nodes")
    box_nm: tuple[Point, Point] | None = Field(
        None, description="first and last corner (x, y, z) of the half-open box that nodes are kept in"
    )
    ids: str | None = Field(
        None, description="URL of the segments to take: .txt, one id a line, or .csv, .parquet: segment_id"
    )
    block_vx: tuple[Edge, Edge, Edge] = Field(
        (512, 512, 512), description="voxels (x, y, z) of a block of work"
    )
    n_shards: int = Field(4, ge=1, description="files of nodes, by segment id")

    @field_validator("box_nm")
    @classmethod
    def _check_box(cls, value: tuple[Point, Point] | None) -> tuple[Point, Point] | None:
        if value is not None and any(a >= b for a, b in zip(*value, strict=True)):
            msg = "the first corner must be below the last on every axis"
            raise ValueError(msg)
        return value


class PairConfig(Section):
    """Positive pairs: two nodes of one tree."""

    max_distance_nm: float = Field(
        150_000.0, gt=0, description="longest path between the two nodes (open in the paper: a choice)"
    )
    min_distance_nm: float = Field(0.0, ge=0, description="shortest path between the two nodes")
    n_bins: int = Field(4, ge=1, description="bins of equal width, where no edges are given")
    bin_edges_nm: tuple[float, ...] | None = Field(
        None, description="edges of bins between the shortest and the longest path; null: n_bins"
    )
    bin_weights: tuple[NotNegative, ...] | None = Field(
        None, description="a bin is drawn by its weight; null: all alike"
    )
    n_pairs: int = Field(10_000, ge=1, description="pairs drawn over all segments")
    length_power: float = Field(
        0.5, ge=0, le=1, description="a segment is drawn by its cable length to this power"
    )
    split: Literal["labels", "drawn"] = Field(
        "labels",
        description="labels: the column split of labels.cell_types says which segments are kept from "
        "training, where it has one; drawn: held_out of them, whatever labels say (then no classifier is "
        "judged on this run's own labels)",
    )
    held_out: float = Field(
        0.33, gt=0, lt=1, description="share of the segments kept from training, where no labels say which"
    )

    @property
    def edges_nm(self) -> tuple[float, ...]:
        """Edges of all bins, the shortest and the longest distance included."""
        low, high = self.min_distance_nm, self.max_distance_nm
        inner = self.bin_edges_nm
        if inner is None:
            inner = tuple(low + (high - low) * i / self.n_bins for i in range(1, self.n_bins))
        return (low, *inner, high)

    @property
    def weights(self) -> tuple[float, ...]:
        """Weight of each bin."""
        return self.bin_weights or (1.0,) * (len(self.edges_nm) - 1)

    @model_validator(mode="after")
    def _check_bins(self) -> Self:
        low, high = self.min_distance_nm, self.max_distance_nm
        if low >= high:
            msg = f"min_distance_nm {low:g} must be below max_distance_nm {high:g}"
            raise ValueError(msg)
        edges = self.edges_nm
        if any(a >= b for a, b in itertools.pairwise(edges)):
            msg = f"bin_edges_nm must ascend from above {low:g} to below {high:g}, got {self.bin_edges_nm}"
            raise ValueError(msg)
        if len(self.weights) != len(edges) - 1 or not sum(self.weights) > 0:
            msg = f"bin_weights must be {len(edges) - 1}, one a bin, not all 0; got {self.bin_weights}"
            raise ValueError(msg)
        return self


class CubeConfig(Section):
    """Cubes, and the blocks of work they are cut in, for training and for embedding."""

    size_vx: int = Field(129, ge=8, description="edge of a cube the encoder sees")
    content: Literal["masked", "em", "mask"] = Field(
        "masked", description="masked: EM within the segment; em: all EM; mask: the segment alone, as 255"
    )
    rounding: Literal["floor", "nearest"] = Field(
        "floor",
        description="a cube's centre: the voxel that holds the node, or nearest: floor(nm/size + 0.5)",
    )
    margin_vx: int = Field(0, ge=0, description="stored beyond the cube on every side, for shifted views")
    block_vx: tuple[Edge, Edge, Edge] = Field(
        (512, 512, 512), description="voxels (x, y, z) of a block of work"
    )
    part_nodes: int = Field(
        32_768,
        ge=1,
        description="most nodes that a part of embed or features takes: a block with more is divided, and "
        "eight blocks with fewer go together where there are 512 or more; GPUs want 262144",
    )
    shard_cubes: int = Field(256, ge=1, description="cubes in one shard (file) of the store")
