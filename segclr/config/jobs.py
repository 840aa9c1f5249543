"""Jobs of a batch system that bring workers: SLURM, LSF, PBS."""

from __future__ import annotations

from pydantic import Field

from segclr.config.section import Section

__all__ = ["JobConfig"]


class JobConfig(Section):
    """One job, as it is asked for; ``cluster.workers`` counts worker processes, not jobs."""

    queue: str | None = Field(None, description="queue or partition; null: the site's own")
    account: str | None = Field(None, description="account or project that pays")
    walltime: str = Field("01:00:00", pattern=r"^(\d+-)?\d+:\d\d(:\d\d)?$", description="[D-]HH:MM[:SS]")
    processes: int = Field(1, ge=1, description="worker processes in one job, one thread each")
    cores: int | None = Field(None, ge=1, description="cores of one job; null: one a process")
    directives: tuple[str, ...] = Field(
        (), description="more lines for the batch system, such as --gres=gpu:1"
    )
    skip_directives: tuple[str, ...] = Field(
        (), description="lines to leave out: those that contain one of these texts, such as --mem"
    )
    prologue: tuple[str, ...] = Field((), description="shell lines before the worker, such as module load")
    python: str | None = Field(None, description="interpreter on the nodes; null: the same path as here")
    local_directory: str | None = Field(None, description="fast folder of a node, for Dask's own files")
    log_directory: str | None = Field(None, description="folder of the jobs' output; null: it is dropped")
    host: str | None = Field(
        None, description="address that the scheduler listens on; null: 127.0.0.1, this node alone"
    )
    interface: str | None = Field(None, description="network interface instead of an address, such as ib0")
    tls: bool = Field(
        default=False,
        description="encrypt and authenticate with certificates made for this run; else whoever reaches the "
        "scheduler's port runs code as you",
    )
    tls_directory: str | None = Field(
        None, description="folder that all nodes see and only you read, for the certificates; null: here"
    )
    lifetime_s: float | None = Field(
        None, gt=0, description="s after which a worker ends by itself; set it below the walltime"
    )
    stagger_s: float = Field(
        60.0, ge=0, description="s drawn around the lifetime, so that not all end at once"
    )
