"""Configuration of a run: frozen models that refuse unknown keys, read from YAML and ``--set`` overrides.

Units stand in the keys' names; every default is stated here and nowhere else.
"""

from segclr.config.benchmark import BenchmarkConfig
from segclr.config.encoder import STEM_STRIDES, EncoderConfig, Stem
from segclr.config.jobs import JobConfig
from segclr.config.load import load_config
from segclr.config.results import AggregateConfig, EmbedConfig, EvaluateConfig, LabelConfig
from segclr.config.run import RunConfig
from segclr.config.section import Engine, Metric, Precision, Weighting, decisive, digest
from segclr.config.tissue import TissueConfig
from segclr.config.training import AugmentConfig, DataConfig, DistillConfig, MonitorConfig, TrainConfig
from segclr.config.volume import CubeConfig, NodeConfig, PairConfig, SkeletonConfig, VolumeConfig
from segclr.config.work import ClusterConfig, PlanConfig, RateConfig

__all__ = [
    "STEM_STRIDES",
    "AggregateConfig",
    "AugmentConfig",
    "BenchmarkConfig",
    "ClusterConfig",
    "CubeConfig",
    "DataConfig",
    "DistillConfig",
    "EmbedConfig",
    "EncoderConfig",
    "Engine",
    "EvaluateConfig",
    "JobConfig",
    "LabelConfig",
    "Metric",
    "MonitorConfig",
    "NodeConfig",
    "PairConfig",
    "PlanConfig",
    "Precision",
    "RateConfig",
    "RunConfig",
    "SkeletonConfig",
    "Stem",
    "TissueConfig",
    "TrainConfig",
    "VolumeConfig",
    "Weighting",
    "decisive",
    "digest",
    "load_config",
]
