"""Where the work runs, and what is assumed to plan it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from segclr.config.section import NotNegative, Positive, Section

__all__ = ["ClusterConfig", "PlanConfig", "RateConfig"]


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
