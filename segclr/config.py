"""Configuration of a run: frozen models that refuse unknown keys, read from YAML and ``--set`` overrides.

Units stand in the keys' names; every default is stated here and nowhere else.
"""

from __future__ import annotations

import itertools
import json
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from segclr import files
from segclr.errors import ConfigError, MissingDataError

__all__ = [
    "STEM_STRIDES",
    "AggregateConfig",
    "AugmentConfig",
    "ClusterConfig",
    "CubeConfig",
    "DataConfig",
    "DistillConfig",
    "EmbedConfig",
    "EncoderConfig",
    "EvaluateConfig",
    "LabelConfig",
    "MonitorConfig",
    "NodeConfig",
    "PairConfig",
    "PlanConfig",
    "RateConfig",
    "RunConfig",
    "SkeletonConfig",
    "Stem",
    "TissueConfig",
    "TrainConfig",
    "VolumeConfig",
    "decisive",
    "digest",
    "load_config",
]

Triple = tuple[int, int, int]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Edge = Annotated[int, Field(ge=1)]
Size = tuple[Positive, Positive, Positive]
Point = tuple[float, float, float]
Precision = Literal["float32", "bfloat16", "float16", "auto"]
Metric = Literal["euclidean", "path"]
Range = tuple[float, float]
Share = Annotated[float, Field(ge=0, le=1)]


class _Free:
    """Marks a key that decides nothing in what a stage writes, or that later stages alone read.

    A run may go on with another value of it; a stage that reads it still refuses to mix results.
    """


FREE = _Free()


class Section(BaseModel):
    """Base of all sections: frozen, unknown keys refused, nothing coerced from a wrong kind."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_flag_as_number(cls, value: Any, info: ValidationInfo) -> Any:
        # pydantic takes `steps: yes` for 1
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation in (int, float):
            msg = f"must be a number, got {value}"
            raise ValueError(msg)
        return value


class TissueConfig(Section):
    """Made tissue: blocks of neuropil with ground truth, side by side along x."""

    n_blocks: int = Field(4, ge=1, description="blocks side by side along x; each holds its own cells")
    block_size_vx: Triple = Field(
        (192, 224, 192), description="voxels (x, y, z) of a block; multiples of 16, at least 64"
    )
    voxel_size_nm: Size = Field((64.0, 64.0, 80.0), description="nm (x, y, z) of a voxel")
    offset_vx: Triple = Field((0, 0, 0), description="first voxel (x, y, z) of the volume")
    somata_per_class: int = Field(
        3, ge=0, description="whole cells of each class in a block, half of them test"
    )

    @field_validator("block_size_vx")
    @classmethod
    def _check_block_size(cls, value: Triple) -> Triple:
        # Chunks end at block borders, so that each has one writer; 16 keeps them from being slivers.
        if any(edge < 64 or edge % 16 for edge in value):
            msg = "must be multiples of 16 and at least 64 voxels"
            raise ValueError(msg)
        return value


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
    held_out: float = Field(0.33, gt=0, lt=1, description="share of the segments kept from training")

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
    """Masked cubes cut for training."""

    size_vx: int = Field(129, ge=8, description="edge of a cube the encoder sees")
    margin_vx: int = Field(0, ge=0, description="stored beyond the cube on every side, for shifted views")
    block_vx: tuple[Edge, Edge, Edge] = Field(
        (512, 512, 512), description="voxels (x, y, z) of a block of work"
    )
    shard_cubes: int = Field(256, ge=1, description="cubes in one shard (file) of the store")


Stem = Literal["large", "medium", "small", "patch"]
STEM_STRIDES: dict[Stem, int] = {"large": 2, "patch": 2, "medium": 1, "small": 0}


class EncoderConfig(Section):
    """Architecture of the encoder."""

    family: Literal["modern", "legacy"] = Field(
        "modern",
        description="legacy: the network of the released weights, to the last layer; of the keys below it "
        "takes embedding_dim, projection_dim and init_from only",
    )
    depth: Literal[10, 18, 34, 50] = Field(18, description="layers of the residual network")
    stages: int = Field(4, ge=1, le=4, description="stages of residual blocks kept; fewer for small cubes")
    width: float = Field(1.0, gt=0, description="factor on the 64, 128, 256, 512 channels")
    stem: Stem = Field(
        "large",
        description="large: 7^3 stride 2 and max-pool, stride 4 in all; patch: 2^3 voxels to channels and "
        "3^3 stride 2, stride 4 in all, the fastest on CPUs; medium: 5^3 stride 2; small: 3^3 stride 1",
    )
    flat_strides: int = Field(
        0,
        ge=0,
        description="number of strides, the network's first, that halve y and x and leave z: 1 where voxels "
        "are about twice as deep as wide (16x16x33 nm), 2 where four times (8x8x33 nm)",
    )
    flat_kernels: bool = Field(
        default=False, description="kernels before the last flat stride are 1 voxel deep in z"
    )
    input: Literal["grey", "centred"] = Field(
        "grey",
        description="grey: as published; centred: grey less its mean within the mask, and the mask as a "
        "second channel, which small encoders learn from much faster",
    )
    norm: Literal["batch", "group"] = Field("batch", description="kind of normalisation")
    heads: Literal["published", "light"] = Field(
        "published",
        description="published: three normed layers each to embedding and loss; light: one layer to "
        "the embedding, two to the loss, which learn in hundreds of steps instead of thousands",
    )
    bottleneck_hidden: int = Field(512, ge=1, description="width of the published bottleneck's hidden layers")
    embedding_dim: int = Field(64, ge=1, description="length of an embedding")
    projection_dim: int = Field(16, ge=1, description="length of the vector the loss sees")
    init_from: str | None = Field(
        None,
        min_length=1,
        description="URL of an encoder whose tensors training starts from where name and shape fit, be it of "
        "another voxel size, depth or width; the rest is random. null: all random",
    )

    @property
    def architecture(self) -> Self:
        """The network alone, without where training starts from."""
        return self.model_copy(update={"init_from": None})

    @property
    def n_strides(self) -> int:
        """Strides of the network, from the stem to the last stage."""
        return STEM_STRIDES[self.stem] + self.stages - 1

    @model_validator(mode="after")
    def _check_strides(self) -> Self:
        if self.flat_strides > self.n_strides:
            msg = (
                f"flat_strides is {self.flat_strides}, but stem {self.stem} and {self.stages} stages have "
                f"{self.n_strides} strides"
            )
            raise ValueError(msg)
        if self.flat_kernels and self.flat_strides == 0:
            msg = "flat_kernels lie before flat strides: set flat_strides to 1 or more"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _check_family(self) -> Self:
        if self.family == "legacy":
            own = {"family", "embedding_dim", "projection_dim", "init_from"}
            changed = [
                k
                for k, f in type(self).model_fields.items()
                if k not in own and getattr(self, k) != f.default
            ]
            if changed:
                msg = f"family legacy is one fixed network; leave out {', '.join(changed)}"
                raise ValueError(msg)
        return self


class AugmentConfig(Section):
    """Random changes of a view during training, drawn for each view on its own.

    The defaults are the published code's, less the shift; the rest is off (docs/augmentations.md).
    """

    axis_permutations: bool = Field(default=True, description="permute axes of equal voxel size")
    permute_unequal: bool = Field(
        default=False, description="permute all axes, also where voxels are anisotropic: stretches tissue"
    )
    flips: bool = Field(default=True, description="flip each axis with probability 1/2")
    shift_vx: int = Field(0, ge=0, description="largest shift of the centre; at most cubes.margin_vx")
    contrast: Range = Field((0.75, 1.25), description="a of clip(a*x + c, 0, 1)^g")
    brightness: Range = Field((-0.25, 0.25), description="c of clip(a*x + c, 0, 1)^g")
    log2_gamma: Range = Field((-1.0, 1.0), description="g = 2^U")
    blur_sd_vx: float = Field(0.0, ge=0, description="widest Gaussian blur within sections; drawn from 0 on")
    noise_sd: float = Field(0.0, ge=0, description="spread of added grey noise, grey range being 0 to 1")
    section_contrast: float = Field(
        0.0, ge=0, le=1, description="sections' own factors on a: from 1 less this to 1 plus this"
    )
    section_brightness: float = Field(
        0.0, ge=0, le=1, description="sections' own additions to c: from minus this to this"
    )
    section_step: Share = Field(1.0, description="probability that a section's level is not the one before's")
    missing_section: Share = Field(0.0, description="probability that a section (a plane of z) is missing")
    missing_fill: Literal["background", "mean"] = Field(
        "background", description="a missing section shows 0, or the view's mean grey within the mask"
    )
    erode_vx: int = Field(0, ge=0, description="most voxels taken off the mask's surface; drawn from 0 on")
    drop_probability: Share = Field(0.0, description="that a plane cuts off what lies beyond it")
    drop_distance: tuple[Share, Share] = Field(
        (0.25, 0.75), description="from the centre to that plane, as shares of half the stored edge"
    )
    dilate_vx: int = Field(
        0, ge=0, description="most voxels put on the mask's surface, from 0 on; needs data.source: volume"
    )
    merge_probability: Share = Field(
        0.0, description="that a touching segment is merged; needs data.source: volume"
    )
    merge_vx: int = Field(8, ge=1, description="voxels of path that a merged segment is taken in")

    @model_validator(mode="after")
    def _check_ranges(self) -> Self:
        for key in ("contrast", "brightness", "log2_gamma", "drop_distance"):
            low, high = getattr(self, key)
            if low > high:
                msg = f"{key} must be two numbers, the lower first, got {[low, high]}"
                raise ValueError(msg)
        return self

    @property
    def grows(self) -> bool:
        """Masks grow beyond the segment, which needs the tissue around it."""
        return self.dilate_vx > 0 or self.merge_probability > 0


class DataConfig(Section):
    """Where training takes its cubes from, and how often it takes which pair."""

    source: Literal["store", "volume"] = Field(
        "store",
        description="store: cubes cut once, by the cubes stage; volume: cut when needed, which takes no disk",
    )
    cache_gb: Annotated[float, FREE] = Field(
        1.0, gt=0, description="of blocks of the volume that each reading process keeps; source: volume"
    )
    balance: Literal["pairs", "segments"] = Field(
        "pairs", description="pairs: every pair equally often; segments: every segment, its pairs in turn"
    )


class TrainConfig(Section):
    """Contrastive training."""

    steps: int = Field(1000, ge=1, description="optimiser steps")
    batch_pairs: int = Field(
        64,
        ge=2,
        description="pairs in an optimiser step, each of two views, over all devices and micro-batches",
    )
    accumulate: int = Field(
        1,
        ge=1,
        description="equal micro-batches that a step is divided into, one after the other in memory; the "
        "negatives and batch statistics of a pair are those of its micro-batch",
    )
    devices: Annotated[int, FREE] = Field(
        1, ge=1, description="GPUs that share each micro-batch; without a GPU, processes of the CPU"
    )
    loss: Literal["nt_xent", "decoupled", "vicreg", "simsiam"] = Field(
        "nt_xent", description="what is minimised, see docs/training.md"
    )
    temperature: float = Field(0.1, gt=0, description="of nt_xent and decoupled")
    mask_same_segment: bool = Field(
        default=True,
        description="nt_xent and decoupled: other pairs of the same segment do not count as negatives",
    )
    vicreg_weights: tuple[NotNegative, NotNegative, NotNegative] = Field(
        (25.0, 25.0, 1.0), description="of vicreg's invariance, variance and covariance (paper: 25, 25, 1)"
    )
    predictor_hidden: int = Field(64, ge=1, description="width of the hidden layer of simsiam's predictor")
    optimizer: Literal["lars", "adamw", "sgd"] = Field("adamw", description="kind of optimiser")
    learning_rate: float = Field(1e-3, gt=0, description="peak, after warm-up; then cosine to 0")
    weight_decay: float = Field(1e-4, ge=0, description="not applied to norms and biases")
    warmup_steps: int = Field(100, ge=0, description="steps of linear warm-up")
    gradient_clip: float = Field(0.0, ge=0, description="largest norm of the gradient; 0 = no limit")
    ema_decay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="the encoder is the running mean of the weights, keeping this share each step; 0: off",
    )
    recompute: Annotated[bool, FREE] = Field(
        default=False,
        description="compute activations twice instead of keeping them: for cubes of 129 voxels",
    )
    precision: Precision = Field("float32", description="auto: bfloat16 where the device has it in hardware")
    validate_every: int = Field(100, ge=1, description="steps between looks at held-out pairs")
    validation_pairs: int = Field(256, ge=2, description="held-out pairs looked at")
    checkpoint_every: Annotated[int, FREE] = Field(100, ge=1, description="steps between checkpoints")
    threads: Annotated[int, FREE] = Field(
        0, ge=0, description="CPU threads; 0: all cores. Sums are rounded by their number"
    )
    num_workers: Annotated[int, FREE] = Field(
        0, ge=0, description="data loader processes; 0 reads in the training process"
    )
    memory_gb: Annotated[float, FREE] = Field(
        2.0, ge=0, description="cubes are held in memory up to this size, else streamed"
    )
    augment: AugmentConfig = AugmentConfig()

    @model_validator(mode="after")
    def _check_division(self) -> Self:
        share, rest = divmod(self.batch_pairs, self.accumulate * self.devices)
        if rest or share * self.devices < 2:
            msg = (
                f"batch_pairs {self.batch_pairs} must divide evenly into {self.accumulate} micro-batches "
                f"(accumulate) of 2 pairs or more on {self.devices} devices"
            )
            raise ValueError(msg)
        return self


class MonitorConfig(Section):
    """What is watched during training, at the looks that ``train.validate_every`` sets."""

    probe_every: int = Field(
        0,
        ge=0,
        description="steps between linear probes on labels of held-out cells, each at the next look; 0: none",
    )
    probe_nodes: int = Field(1000, ge=10, description="labelled held-out nodes that a probe looks at")
    tensorboard: Annotated[bool, FREE] = Field(
        default=False, description="also write training/tensorboard (extra tensorboard)"
    )


class DistillConfig(Section):
    """Learning from a bigger encoder instead of from pairs alone; steps, optimiser and views are train's."""

    teacher: str = Field(
        min_length=1, description="URL of the encoder to learn from, of the same cubes and embedding_dim"
    )
    regression_weight: float = Field(
        1.0, ge=0, description="of the squared error to the teacher's embedding, over its variance"
    )
    contrastive_weight: float = Field(
        0.1, ge=0, description="of NT-Xent (nats) between the student's projections of a pair's two views"
    )

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        if self.regression_weight + self.contrastive_weight == 0:
            msg = "regression_weight and contrastive_weight are both 0: nothing would be learnt"
            raise ValueError(msg)
        return self


class EmbedConfig(Section):
    """Embedding of all nodes."""

    batch_size: int = Field(64, ge=1, description="cubes encoded at once")
    precision: Precision = Field("float32", description="auto: bfloat16 where the device has it in hardware")
    device: Annotated[str, FREE] = Field(
        "auto", pattern=r"^(auto|cpu|(cuda|mps)(:\d+)?)$", description="auto, cpu, cuda, cuda:0, mps"
    )
    n_shards: int = Field(4, ge=1, description="files the embeddings are compacted to, by segment id")


class AggregateConfig(Section):
    """Mean embeddings over the neighbourhood of each node."""

    radii_um: tuple[NotNegative, ...] = Field((0.0, 5.0, 10.0), description="0: the node alone")
    metrics: tuple[Metric, ...] = Field(("euclidean", "path"), description="how distance is measured")


class LabelConfig(Section):
    """Labels to train and judge classifiers on; none for unlabelled data."""

    compartments: str | None = Field(None, description="URL of a label volume: a node's class is its voxel's")
    compartment_names: dict[int, str] = Field({}, description="class of each value of the label volume")
    cell_types: str | None = Field(
        None,
        description="Parquet, CSV or folder of Parquet: segment_id, cell_type, split (train/test) if known",
    )

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        if self.compartments is not None and not self.compartment_names:
            msg = "compartments needs compartment_names, such as {1: axon, 2: dendrite}"
            raise ValueError(msg)
        return self


class EvaluateConfig(Section):
    """What the run is judged by."""

    retrieval_exclusion_nm: tuple[NotNegative, ...] = Field(
        (400.0,), description="nearest neighbours closer than this are left out of the retrieval metric"
    )
    probe_c: float | None = Field(
        1.0, gt=0, description="inverse L2 strength of the linear probes; null: chosen by cross-validation"
    )
    untrained_baseline: bool = Field(
        default=True, description="embed with an untrained encoder of the same seed"
    )
    forest_baseline: bool = Field(
        default=True, description="random forest on ten simple features of the cube"
    )


class ClusterConfig(Section):
    """Where the work runs."""

    kind: Literal["none", "local", "scheduler"] = Field(
        "local", description="none: in this process, serially"
    )
    workers: int = Field(2, ge=1, description="worker processes, one thread each")
    memory_gb: float = Field(3.0, gt=0, description="limit of one worker")
    address: str | None = Field(None, description="of a running scheduler, with kind: scheduler")
    retries: int = Field(2, ge=0, description="times a failed part is tried again before it is set aside")
    block_time_s: float = Field(3600.0, gt=0, description="s for the skeletons of one block; then it fails")


class RateConfig(Section):
    """Speeds of one core; those left out are taken as measured by ``benchmarks/rates.py``."""

    read_mb_per_s: Positive | None = Field(None, description="decoded MB/s of blocks of EM and labels")
    tissue_mvoxel_per_s: Positive | None = Field(None, description="Mvoxel/s of made tissue")
    skeletonize_mvoxel_per_s: Positive | None = Field(None, description="Mvoxel/s of segmentation")
    nodes_per_s: Positive | None = Field(None, description="nodes placed and moved into their segment")
    pairs_per_s: Positive | None = Field(None, description="pairs drawn")
    cut_mvoxel_per_s: Positive | None = Field(None, description="Mvoxel/s of cubes cut from memory")
    encode_gflop_per_s: Positive | None = Field(None, description="GFLOP/s of the encoder, forward")
    write_cube_mvoxel_per_s: Positive | None = Field(None, description="Mvoxel/s of cubes stored")
    stored_share_of_cube: float | None = Field(
        None, gt=0, le=1, description="bytes on disk for one byte of a masked cube, compressed"
    )
    write_mb_per_s: Positive | None = Field(None, description="MB/s of Parquet, before compression")


class PlanConfig(Section):
    """What ``segclr plan`` assumes; changes nothing in a run."""

    cable_um_per_um3: float | None = Field(
        None,
        gt=0,
        description="um of skeleton in a um^3 of tissue, where no sample tells; null: 5.4, mouse cortex, 2.7 "
        "m in 500,000 um^3 (Motta et al., Science 2019), or 1.5 for made tissue. Fly: 21 (docs/plan.md)",
    )
    cable_factor: float = Field(
        2.0, ge=1, description="the assumed cable may be this many times less or more: low and high"
    )
    segment_um: float = Field(
        150.0,
        gt=0,
        description="um of cable after which a draft segmentation splits a neurite, on average; 150: pinky40",
    )
    em_compression: float = Field(
        1.2, gt=0, description="decoded bytes for one transferred; 1.2: raw, gzip, ../shared/data/fib25"
    )
    segmentation_compression: float = Field(
        60.0, gt=0, description="decoded bytes for one transferred; 64: compresso, ../shared/data/pinky40"
    )
    gpu_tflops: float | None = Field(
        None, gt=0, description="TFLOP/s that a GPU reaches on this encoder; null: GPU-hours are not told"
    )
    currency: str = Field("USD", description="of all prices")
    price_per_core_hour: NotNegative | None = Field(None, description="null: no money is told for it")
    price_per_gpu_hour: NotNegative | None = Field(None, description="null: no money is told for it")
    price_per_tb_month: NotNegative | None = Field(None, description="of what a run stores")
    price_per_tb_read: NotNegative | None = Field(None, description="egress of what a run reads")
    price_per_million_requests: NotNegative | None = Field(None, description="one request a chunk read")
    rates_url: str | None = Field(
        None, description="file of rates that benchmarks/rates.py wrote; null: the one in the package"
    )
    rates: RateConfig = RateConfig()


class RunConfig(Section):
    """Everything one run needs; ``run.yaml`` in the run's folder is this, resolved."""

    name: Annotated[str, FREE] = Field(description="shown in the report")
    run: Annotated[str, FREE] = Field(min_length=1, description="folder of the run: any URL")
    seed: int = Field(0, ge=0, lt=2**31, description="of everything random")
    tissue: TissueConfig | None = Field(
        None, description="make tissue first, and use it where volume is absent"
    )
    volume: VolumeConfig | None = Field(None, description="absent: the made tissue")
    skeletons: SkeletonConfig = SkeletonConfig()
    nodes: NodeConfig = NodeConfig()
    pairs: PairConfig = PairConfig()
    cubes: CubeConfig = CubeConfig()
    encoder: EncoderConfig = EncoderConfig()
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig()
    monitor: MonitorConfig = MonitorConfig()
    distill: DistillConfig | None = Field(
        None, description="the stage train distils this teacher; absent: it trains on pairs"
    )
    embed: EmbedConfig = EmbedConfig()
    aggregate: AggregateConfig = AggregateConfig()
    labels: Annotated[LabelConfig, FREE] = LabelConfig()
    evaluate: Annotated[EvaluateConfig, FREE] = EvaluateConfig()
    cluster: Annotated[ClusterConfig, FREE] = ClusterConfig()
    plan: Annotated[PlanConfig, FREE] = PlanConfig()

    @model_validator(mode="after")
    def _check_across_sections(self) -> Self:
        if self.tissue is None and self.volume is None:
            msg = "give either a volume or a tissue section"
            raise ValueError(msg)
        if self.train.augment.shift_vx > self.cubes.margin_vx:
            msg = (
                f"train.augment.shift_vx is {self.train.augment.shift_vx}, but cubes are stored with "
                f"cubes.margin_vx {self.cubes.margin_vx}: a shift needs that margin"
            )
            raise ValueError(msg)
        if self.train.augment.grows and self.data.source != "volume":
            msg = (
                "train.augment.dilate_vx and merge_probability need the tissue around a segment, which "
                f"stored cubes lack: set data.source to volume (it is {self.data.source}), or both to 0"
            )
            raise ValueError(msg)
        return self


class _Loader(yaml.SafeLoader):
    """Refuses a key that comes twice, where YAML's own loader silently takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                msg = f"line {key_node.start_mark.line + 1}: the key {key} comes twice"
                raise ConfigError(msg)
            seen.add(key)
        return super().construct_mapping(node, deep)


def load_config(url: str, overrides: list[str] | None = None) -> RunConfig:
    """Read a YAML configuration; ``overrides`` are ``section.key=value`` with the value in YAML.

    Raises:
        ConfigError: there is no such file, it is not YAML, or a key is unknown, missing, given twice or out
            of range.
    """
    try:
        tree = yaml.load(files.read_bytes(url), Loader=_Loader)
    except (MissingDataError, IsADirectoryError) as error:
        msg = f"there is no configuration file {url!r}"
        raise ConfigError(msg) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        msg = f"{url} is not YAML: {error}"
        raise ConfigError(msg) from error
    except ConfigError as error:
        msg = f"{url}, {error}"
        raise ConfigError(msg) from error
    if not isinstance(tree, dict):
        msg = f"{url} must hold keys and values, got {type(tree).__name__}"
        raise ConfigError(msg)
    for override in overrides or []:
        _override(tree, override)
    try:
        return RunConfig.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(_readable(url, error)) from error


def _override(tree: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        msg = f"--set takes key=value, such as train.steps=200; got {override!r}"
        raise ConfigError(msg)
    *sections, key = path.split(".")
    for section in sections:
        below: Any = tree.get(section)
        if below is None:
            below = tree[section] = {}
        if not isinstance(below, dict):
            msg = f"--set {override!r}: {section} is a value, not a section"
            raise ConfigError(msg)
        tree = below
    try:
        tree[key] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        msg = f"--set {override!r}: the value is not YAML"
        raise ConfigError(msg) from error


def _readable(url: str, error: ValidationError) -> str:
    lines = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"]) or "the configuration"
        if item["type"] == "extra_forbidden":
            lines.append(f"{key}: unknown key")
        else:
            received = "" if item["type"] in ("missing", "value_error") else f", got {item['input']!r}"
            lines.append(f"{key}: {item['msg'].removeprefix('Value error, ')}{received}")
    return f"{url}: " + "; ".join(lines)


def decisive(section: BaseModel) -> dict[str, Any]:
    """The values of a section as plain JSON, without the keys a run may change when it goes on."""
    tree = section.model_dump(mode="json")
    for name, field in type(section).model_fields.items():
        below = getattr(section, name)
        if any(isinstance(mark, _Free) for mark in field.metadata):
            del tree[name]
        elif isinstance(below, BaseModel):
            tree[name] = decisive(below)
    return tree


def digest(*values: BaseModel | Any) -> str:
    """Hex digest of configuration values, equal for equal decisive values."""
    plain = [decisive(v) if isinstance(v, BaseModel) else v for v in values]
    return files.sha256(json.dumps(plain, sort_keys=True).encode())
