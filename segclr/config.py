"""Configuration of a run: frozen models that refuse unknown keys, read from YAML and ``--set`` overrides.

Units stand in the keys' names; every default is stated here and nowhere else.
"""

from __future__ import annotations

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
    "AggregateConfig",
    "AugmentConfig",
    "ClusterConfig",
    "CubeConfig",
    "EmbedConfig",
    "EncoderConfig",
    "EvaluateConfig",
    "LabelConfig",
    "NodeConfig",
    "PairConfig",
    "RunConfig",
    "SkeletonConfig",
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
Precision = Literal["float32", "bfloat16", "float16", "auto"]
Metric = Literal["euclidean", "path"]


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

    em: str = Field(description="URL of the EM: precomputed:// or zarr:// (OME-Zarr)")
    segmentation: str = Field(description="URL of the segmentation, same schemes")
    voxel_size_nm: Size = Field(description="nm (x, y, z) at which cubes are cut")
    downsample: bool = Field(
        default=False, description="average EM and take the mode of labels where that size is not stored"
    )


class SkeletonConfig(Section):
    """Where skeletons come from."""

    source: Literal["kimimaro", "tissue"] = Field(
        "kimimaro", description="kimimaro: made from the segmentation; tissue: the made tissue's own"
    )
    min_segment_vx: int = Field(1000, ge=1, description="smaller segments get no skeleton (dust)")
    teasar_scale: float = Field(1.5, gt=0, description="TEASAR invalidation radius = scale * radius + const")
    teasar_const_nm: float = Field(300.0, ge=0, description="nm, see teasar_scale")


class NodeConfig(Section):
    """Places on the skeletons that get an embedding."""

    spacing_nm: float = Field(1500.0, gt=0, description="nm of path between neighbouring nodes")
    snap_nm: float = Field(
        500.0,
        ge=0,
        description="a node outside its segment moves to its nearest voxel within this, else dropped",
    )


class PairConfig(Section):
    """Positive pairs: two nodes of one tree."""

    max_distance_nm: float = Field(
        150_000.0, gt=0, description="longest path between the two nodes (open in the paper: a choice)"
    )
    min_distance_nm: float = Field(0.0, ge=0, description="shortest path between the two nodes")
    n_bins: int = Field(
        4, ge=1, description="bins of equal width over the distance, drawn with equal probability"
    )
    n_pairs: int = Field(10_000, ge=1, description="pairs drawn over all segments")
    length_power: float = Field(
        0.5, ge=0, le=1, description="a segment is drawn by its cable length to this power"
    )
    held_out: float = Field(0.33, gt=0, lt=1, description="share of the segments kept from training")

    @model_validator(mode="after")
    def _check_distances(self) -> Self:
        if self.min_distance_nm >= self.max_distance_nm:
            low, high = self.min_distance_nm, self.max_distance_nm
            msg = f"min_distance_nm {low:g} must be below max_distance_nm {high:g}"
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


class EncoderConfig(Section):
    """Architecture of the encoder."""

    family: Literal["modern", "legacy"] = Field(
        "modern",
        description="legacy: the network of the released weights, to the last layer; of the keys below it "
        "takes embedding_dim and projection_dim only",
    )
    depth: Literal[10, 18, 34, 50] = Field(18, description="layers of the residual network")
    stages: int = Field(4, ge=1, le=4, description="stages of residual blocks kept; fewer for small cubes")
    width: float = Field(1.0, gt=0, description="factor on the 64, 128, 256, 512 channels")
    stem: Literal["large", "medium", "small", "patch"] = Field(
        "large",
        description="large: 7^3 stride 2 and max-pool, stride 4 in all; patch: 2^3 voxels to channels and "
        "3^3 stride 2, stride 4 in all, the fastest on CPUs; medium: 5^3 stride 2; small: 3^3 stride 1",
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

    @model_validator(mode="after")
    def _check_family(self) -> Self:
        if self.family == "legacy":
            own = {"family", "embedding_dim", "projection_dim"}
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
    """Random changes of a view during training, drawn for each view on its own (source: published code)."""

    axis_permutations: bool = Field(default=True, description="permute axes of equal voxel size")
    flips: bool = Field(default=True, description="flip each axis with probability 1/2")
    shift_vx: int = Field(0, ge=0, description="largest shift of the centre; at most cubes.margin_vx")
    contrast: tuple[float, float] = Field((0.75, 1.25), description="a of clip(a*x + c, 0, 1)^g")
    brightness: tuple[float, float] = Field((-0.25, 0.25), description="c of clip(a*x + c, 0, 1)^g")
    log2_gamma: tuple[float, float] = Field((-1.0, 1.0), description="g = 2^U")
    noise_sd: float = Field(0.0, ge=0, description="spread of added grey noise, grey range being 0 to 1")


class TrainConfig(Section):
    """Contrastive training."""

    steps: int = Field(1000, ge=1, description="optimiser steps")
    batch_pairs: int = Field(64, ge=2, description="pairs in a batch: each makes two views")
    temperature: float = Field(0.1, gt=0, description="of NT-Xent")
    mask_same_segment: bool = Field(
        default=True, description="other pairs of the same segment do not count as negatives"
    )
    optimizer: Literal["lars", "adamw", "sgd"] = Field("adamw", description="kind of optimiser")
    learning_rate: float = Field(1e-3, gt=0, description="peak, after warm-up; then cosine to 0")
    weight_decay: float = Field(1e-4, ge=0, description="not applied to norms and biases")
    warmup_steps: int = Field(100, ge=0, description="steps of linear warm-up")
    gradient_clip: float = Field(0.0, ge=0, description="largest norm of the gradient; 0 = no limit")
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
    train: TrainConfig = TrainConfig()
    embed: EmbedConfig = EmbedConfig()
    aggregate: AggregateConfig = AggregateConfig()
    labels: Annotated[LabelConfig, FREE] = LabelConfig()
    evaluate: Annotated[EvaluateConfig, FREE] = EvaluateConfig()
    cluster: Annotated[ClusterConfig, FREE] = ClusterConfig()

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
        return self


class _Loader(yaml.SafeLoader):
    """Refuses a key that comes twice, where YAML's own loader silently takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for i, key in enumerate(keys):
            if key in keys[:i]:
                msg = f"the key {key} comes twice"
                raise yaml.constructor.ConstructorError(None, None, msg, node.value[i][0].start_mark)
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
