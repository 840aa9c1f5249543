"""Where the work runs, and what is assumed to plan it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from segclr.config.jobs import JobConfig
from segclr.config.section import NotNegative, Positive, Section

__all__ = ["ClusterConfig", "PlanConfig", "RateConfig"]


class ClusterConfig(Section):
    """Where the work runs, and what becomes of parts that fail; ``configs/clusters/`` has an example each."""

    kind: Literal["none", "local", "slurm", "lsf", "pbs", "scheduler"] = Field(
        "local", description="none: in this process, serially; slurm, lsf and pbs need the extra slurm"
    )
    workers: int = Field(2, ge=1, description="worker processes, one thread each")
    memory_gb: float = Field(3.0, gt=0, description="limit of one worker")
    gpus: int = Field(
        0, ge=0, description="GPUs of this machine, or of one job: one worker each; 0: work on CPUs"
    )
    address: str | None = Field(None, description="of a running scheduler, with kind: scheduler")
    tls_ca_file: str | None = Field(None, description="with kind: scheduler and a tls:// address")
    tls_cert_file: str | None = Field(None, description="of this client, with tls_ca_file")
    tls_key_file: str | None = Field(None, description="of this client, with tls_ca_file")
    jobs: JobConfig = Field(JobConfig(), description="with kind: slurm, lsf or pbs")
    wait_s: float = Field(
        1800.0, gt=0, description="s without any worker, or without others' parts, after which a run ends"
    )
    worker_ttl_s: float = Field(
        60.0, ge=5, description="s of silence after which a worker counts as lost (Dask's own: 300)"
    )
    retries: int = Field(2, ge=0, description="times a failed part is tried again before it is set aside")
    retry_first_s: float = Field(1.0, ge=0, description="s before the second attempt; doubles with each")
    retry_most_s: float = Field(60.0, ge=0, description="s before an attempt, at most")
    worker_deaths: int = Field(
        5,
        ge=1,
        description="workers that may die of one part before it is set aside; more where others' do, too",
    )
    max_failed_parts: int = Field(
        16,
        ge=0,
        description="parts of a stage that may be set aside while the run goes on without them; with more, "
        "or in a stage that cannot do without, the run ends after the stage",
    )
    retry_lost: bool = Field(
        default=False,
        description="try parts again that a run went on without; where one succeeds, all later stages are "
        "made again, the training too",
    )
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
