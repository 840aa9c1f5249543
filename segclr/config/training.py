"""Training: augmentations, data, optimisation, monitoring, distillation."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from segclr.config.section import FREE, NotNegative, Precision, Range, Section, Share

__all__ = ["AugmentConfig", "DataConfig", "DistillConfig", "MonitorConfig", "TrainConfig"]


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
    # AdamW divides the rate by 0.1 and multiplies it by the decay: both must fit into float32
    learning_rate: float = Field(1e-3, gt=0, le=1e30, description="peak, after warm-up; then cosine to 0")
    weight_decay: float = Field(1e-4, ge=0, le=1e6, description="not applied to norms and biases")
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

    @staticmethod
    def unused(train: TrainConfig, monitor: MonitorConfig) -> list[str]:
        """Keys that are set and that a distillation has no use for, each with what it must be."""
        wanted = (
            ("train.loss", train.loss, "nt_xent"),
            ("train.devices", train.devices, 1),
            ("monitor.probe_every", monitor.probe_every, 0),
            ("monitor.tensorboard", monitor.tensorboard, False),
        )
        return [f"{key} is {value}, allowed {only}" for key, value, only in wanted if value != only]

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        if self.regression_weight + self.contrastive_weight == 0:
            msg = "regression_weight and contrastive_weight are both 0: nothing would be learnt"
            raise ValueError(msg)
        return self
