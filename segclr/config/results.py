"""What comes after training: embedding, aggregation, labels, evaluation."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from segclr.config.section import FREE, Engine, Metric, NotNegative, Precision, Section, Weighting

__all__ = ["AggregateConfig", "EmbedConfig", "EvaluateConfig", "LabelConfig"]


class EmbedConfig(Section):
    """Embedding of all nodes."""

    encoder: str | None = Field(
        None,
        description="URL of a finished encoder, such as another run's encoder/ or what segclr import-weights "
        "wrote; the run then draws no pairs and trains nothing. null: the encoder that this run trains",
    )
    batch_size: Annotated[int, Field(ge=1, strict=True)] | Literal["auto"] = Field(
        64, description="cubes encoded at once; auto: found by trial within memory_gb, once a run"
    )
    memory_gb: Annotated[float | None, FREE] = Field(
        None,
        gt=0,
        description="for batch_size auto: what a worker (CPU) or the device (GPU) may take in all; null: "
        "80 % of cluster.memory_gb, or of the GPU's memory",
    )
    precision: Precision = Field("float32", description="auto: bfloat16 where the device has it in hardware")
    device: Annotated[str, FREE] = Field(
        "auto", pattern=r"^(auto|cpu|(cuda|mps)(:\d+)?)$", description="auto, cpu, cuda, cuda:0, mps"
    )
    engine: Engine = Field(
        "auto",
        description="dense: PyTorch on whole cubes; skip_empty: only where a cube can differ from an empty "
        "one, the same to rounding; openvino: whole cubes, CPU, extra of that name; auto: skip_empty for "
        "large cubes where the network allows it (CPU: 96 voxels or more, CUDA with Triton: 64), else dense",
    )
    compile: bool = Field(
        default=False, description="engine dense: compiled by PyTorch, which needs a C++ compiler"
    )
    n_shards: int = Field(4, ge=1, description="files the embeddings are compacted to, by segment id")


class AggregateConfig(Section):
    """Mean embeddings over the neighbourhood of each node, with the number of nodes in each mean."""

    radii_um: tuple[NotNegative, ...] = Field((0.0, 5.0, 10.0), description="0: the node alone")
    metrics: tuple[Metric, ...] = Field(("euclidean", "path"), description="how distance is measured")
    weighting: Weighting = Field(
        "uniform", description="of nodes in a mean; gaussian: by distance, sigma = radius / 2"
    )
    attention: str | None = Field(
        None,
        description="URL of a pooling from segclr.classify.fit_attention for this encoder",
    )
    spread: bool = Field(default=False, description="also write the standard deviation of each dimension")

    @model_validator(mode="after")
    def _check_one_weighting(self) -> Self:
        if self.attention is not None and self.weighting != "uniform":
            msg = f"attention weighs by itself: weighting must be uniform beside it, got {self.weighting}"
            raise ValueError(msg)
        return self


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
