"""Workers as jobs of SLURM, LSF or PBS, through dask-jobqueue (extra ``slurm``), which is imported only here.

dask-jobqueue asks for jobs once and does not replace one that is lost (dask-jobqueue#611): ``TopUp`` does.
"""

from __future__ import annotations

import contextlib
import signal
import warnings
from collections.abc import Iterator
from typing import Any

from pipelines.cluster import interrupts_held
from pipelines.dask_executor import DaskExecutor
from pipelines.top_up import TopUp
from segclr.config import ClusterConfig
from segclr.errors import ConfigError

__all__ = ["job_options", "job_workers"]

_LOST_S = 8.0
"""A job whose workers are away for so long is lost; a worker that is started again by its nanny is not."""

_LOOPBACK = "127.0.0.1"


def job_options(config: ClusterConfig) -> dict[str, Any]:
    """The configuration as dask-jobqueue takes it."""
    jobs = config.jobs
    processes = config.gpus or jobs.processes
    extra = ["--resources", "GPU=1"] if config.gpus else []
    if jobs.lifetime_s is not None:
        extra += ["--lifetime", f"{jobs.lifetime_s:g}s", "--lifetime-stagger", f"{jobs.stagger_s:g}s"]
    listen = {} if jobs.interface is not None else {"host": jobs.host or _LOOPBACK}
    options: dict[str, Any] = {
        "n_workers": 0,
        "queue": jobs.queue,
        "walltime": jobs.walltime,
        "cores": processes,  # Dask's threads: one a process
        "processes": processes,
        "memory": f"{config.memory_gb * processes:g}GB",
        "job_extra_directives": list(jobs.directives),
        "job_directives_skip": list(jobs.skip_directives),
        "job_script_prologue": list(jobs.prologue),
        "python": jobs.python,
        "local_directory": jobs.local_directory,
        "log_directory": jobs.log_directory,
        "interface": jobs.interface,
        "worker_extra_args": [*extra, "--no-dashboard"],
        "scheduler_options": {**listen, "dashboard_address": f"{_LOOPBACK}:0"},
        "silence_logs": "error",
    }
    options["project" if config.kind == "lsf" else "account"] = jobs.account
    cores = jobs.cores or processes
    if config.kind == "slurm":
        options["job_cpu"] = cores
    elif config.kind == "lsf":
        options["ncpus"] = cores
    else:
        options["resource_spec"] = f"select=1:ncpus={cores}:mem={config.memory_gb * processes * 1000:.0f}MB"
    if jobs.log_directory is None:
        options["job_extra_directives"] += _DROPPED[config.kind]
    return options


_DROPPED = {
    "slurm": ["--output=/dev/null", "--error=/dev/null"],
    "lsf": ["-o /dev/null", "-e /dev/null"],
    "pbs": ["-o /dev/null", "-e /dev/null"],
}
"""Where output of jobs goes that nobody asked for."""


@contextlib.contextmanager
def job_workers(config: ClusterConfig) -> Iterator[DaskExecutor]:
    """Ask for jobs, and cancel them at the end.

    Raises:
        ConfigError: the extra is not installed, or the batch system refuses the job.
    """
    from distributed import Client

    processes = config.gpus or config.jobs.processes
    n_jobs = -(-config.workers // processes)
    with contextlib.ExitStack() as stack:
        with interrupts_held():
            cluster = stack.enter_context(_cluster_class(config.kind)(**job_options(config), **_tls(config)))
            client = stack.enter_context(Client(cluster, set_as_default=False))
        try:
            cluster.scale(jobs=n_jobs)
        except (OSError, RuntimeError) as error:
            msg = f"the batch system refuses the job: {error}. The job script was:\n{cluster.job_script()}"
            raise ConfigError(msg) from error
        yield DaskExecutor(
            client, config, TopUp(cluster, lambda: cluster.scale(jobs=n_jobs), lost_s=_LOST_S, queued=True)
        )


def _cluster_class(kind: str) -> Any:
    before = signal.getsignal(signal.SIGINT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own use of Dask
            import dask_jobqueue
    except ImportError as error:
        msg = f"cluster.kind {kind} needs the extra slurm: pip install 'segclr[slurm]'"
        raise ConfigError(msg) from error
    finally:
        signal.signal(signal.SIGINT, before)  # its import makes of Ctrl-C an exit with status 0
    names = {"slurm": "SLURMCluster", "lsf": "LSFCluster", "pbs": "PBSCluster"}
    return getattr(dask_jobqueue, names[kind])


def _tls(config: ClusterConfig) -> dict[str, Any]:
    if not config.jobs.tls:
        return {}
    from distributed import Security

    try:
        security = Security.temporary()
    except ImportError as error:
        msg = "cluster.jobs.tls needs the package cryptography"
        raise ConfigError(msg) from error
    return {"security": security, "protocol": "tls://", "shared_temp_directory": config.jobs.tls_directory}
