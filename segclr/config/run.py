"""Everything one run needs."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from segclr.config.benchmark import BenchmarkConfig
from segclr.config.encoder import EncoderConfig
from segclr.config.results import AggregateConfig, EmbedConfig, EvaluateConfig, LabelConfig
from segclr.config.section import FREE, Section
from segclr.config.tissue import TissueConfig
from segclr.config.training import DataConfig, DistillConfig, MonitorConfig, TrainConfig
from segclr.config.volume import CubeConfig, NodeConfig, PairConfig, SkeletonConfig, VolumeConfig
from segclr.config.work import ClusterConfig, PlanConfig

__all__ = ["RunConfig"]


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
    benchmark: BenchmarkConfig | None = Field(
        None, description="compare encoders on made tissues: the run is then several, in folders within it"
    )
    cluster: Annotated[ClusterConfig, FREE] = ClusterConfig()
    plan: Annotated[PlanConfig, FREE] = PlanConfig()

    @property
    def trains(self) -> bool:
        """Whether this run makes its encoder itself."""
        return self.embed.encoder is None

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
        if self.benchmark is not None:
            self._check_benchmark(self.benchmark)
        if self.distill is not None and not self.trains:
            msg = "embed.encoder is a finished encoder, distill makes a new one: leave one of them out"
            raise ValueError(msg)
        if self.distill is not None and (unused := self.distill.unused(self.train, self.monitor)):
            msg = f"a distillation does not use what is set here: {'; '.join(unused)}"
            raise ValueError(msg)
        return self

    def _check_benchmark(self, benchmark: BenchmarkConfig) -> None:
        if self.tissue is None or self.volume is not None or not self.trains or self.distill is not None:
            msg = (
                "a benchmark trains on made tissue: it takes tissue, and no volume, embed.encoder or distill"
            )
            raise ValueError(msg)
        radii_um = (0.0, *self.aggregate.radii_um)
        if benchmark.unknown_radius_um not in radii_um or "euclidean" not in self.aggregate.metrics:
            msg = (
                f"benchmark.unknown_radius_um {benchmark.unknown_radius_um:g} must be one of "
                f"aggregate.radii_um {list(radii_um)}, and aggregate.metrics must hold euclidean"
            )
            raise ValueError(msg)
        if self.seed in benchmark.test_seeds:
            msg = f"seed {self.seed} makes the tissue that is trained on: take it out of benchmark.test_seeds"
            raise ValueError(msg)
