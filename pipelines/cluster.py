"""Where parts are worked on: this process, local workers, jobs of a batch system, a running scheduler."""

from __future__ import annotations

import contextlib
import logging
import signal
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from pipelines.array import WHOLE, Share
from segclr.config import ClusterConfig
from segclr.errors import ConfigError

if TYPE_CHECKING:
    from pipelines.dask_executor import DaskExecutor

__all__ = ["Executor", "Executors", "Job", "SerialExecutor", "interrupts_held"]

Job = Callable[[str], int]

_LOST_S = 30.0
"""A local worker that is away for so long is replaced; until then its nanny starts it again."""


class Executor(Protocol):
    """Takes jobs and gives back what is done, in any order."""

    def room(self) -> int:
        """How many more parts to hand out now; waits for a worker where nothing is in progress."""
        ...

    def submit(self, job: Job, part: str) -> None:
        """Begin a part; there must be room."""
        ...

    def next_done(self) -> tuple[str, int | BaseException] | None:
        """Wait for a part, about a second: its rows, or its error; None where none is done by then."""
        ...


class SerialExecutor:
    """Works in this process, part by part: for debugging, and for what needs the whole machine."""

    def __init__(self) -> None:
        """Nothing waits yet."""
        self._waiting: deque[tuple[Job, str]] = deque()

    def room(self) -> int:
        """One part at a time."""
        return 1 - len(self._waiting)

    def submit(self, job: Job, part: str) -> None:
        """Remember a part."""
        self._waiting.append((job, part))

    def next_done(self) -> tuple[str, int | BaseException] | None:
        """Do the part that waits longest."""
        job, part = self._waiting.popleft()
        try:
            return part, job(part)
        except Exception as error:  # noqa: BLE001  the runner decides what an error means
            return part, error


class Executors:
    """The executors of a run; the cluster starts with the first stage that needs it and stops at the end.

    Attributes:
        share: the parts that are this process's own, in an array of processes.
    """

    def __init__(self, config: ClusterConfig, share: Share = WHOLE) -> None:
        """Nothing starts yet."""
        self._config = config
        self.share = share
        self._stack = contextlib.ExitStack()
        self._cluster: Executor | None = None

    def __enter__(self) -> Self:
        """Nothing starts yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop what was started."""
        self._stack.close()

    def alone(self) -> Executor:
        """This process."""
        return SerialExecutor()

    def cluster(self) -> Executor:
        """What the configuration asks for."""
        if self._cluster is None:
            self._cluster = self._stack.enter_context(_open(self._config))
        return self._cluster


@contextlib.contextmanager
def _open(config: ClusterConfig) -> Iterator[Executor]:
    """Start what the configuration asks for, and stop it at the end."""
    if config.kind == "none":
        yield SerialExecutor()
        return
    import dask
    import distributed  # noqa: F401  brings its settings: within the block below they would go with it

    settings = {
        "distributed.worker.multiprocessing-method": "spawn",
        "distributed.logging.distributed": "error",
        "distributed.comm.timeouts.connect": "60s",
        # one part a worker and no second try by Dask: so a death is laid to the one part that ran there
        "distributed.scheduler.allowed-failures": 0,
        "distributed.scheduler.worker-ttl": f"{config.worker_ttl_s:g}s",
        "distributed.deploy.lost-worker-timeout": "5s",
    }
    # a message to a worker that a batch system has ended is no error of this program
    logging.getLogger("distributed.batched").setLevel(logging.CRITICAL)
    with dask.config.set(settings):
        if config.kind == "scheduler":
            opened = _running_scheduler(config)
        elif config.kind == "local":
            opened = _local_workers(config)
        else:
            from pipelines.jobqueue import job_workers

            opened = job_workers(config)
        with opened as executor:
            yield executor


@contextlib.contextmanager
def _running_scheduler(config: ClusterConfig) -> Iterator[DaskExecutor]:
    """Workers that others started.

    Raises:
        ConfigError: there is no address, or nobody answers there.
    """
    from distributed import Client, Security

    from pipelines.dask_executor import DaskExecutor

    if config.address is None:
        msg = "cluster.kind is scheduler: give its address as cluster.address, tcp://host:port"
        raise ConfigError(msg)
    security = None
    if config.tls_ca_file is not None:
        security = Security(
            tls_ca_file=config.tls_ca_file,
            tls_client_cert=config.tls_cert_file,
            tls_client_key=config.tls_key_file,
            require_encryption=True,
        )
    try:
        client = Client(config.address, timeout="30s", security=security, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        msg = f"no Dask scheduler answers at {config.address}: {error}"
        raise ConfigError(msg) from error
    with client:
        yield DaskExecutor(client, config)


@contextlib.contextmanager
def _local_workers(config: ClusterConfig) -> Iterator[DaskExecutor]:
    """Processes of this machine, which listen on loopback only."""
    from distributed import Client, LocalCluster

    from pipelines.dask_executor import DaskExecutor, resources
    from pipelines.top_up import TopUp

    n_workers = config.gpus or config.workers
    with contextlib.ExitStack() as stack:
        with interrupts_held():
            cluster = stack.enter_context(
                LocalCluster(
                    n_workers=0,  # a worker that is killed while it starts must not end the run
                    threads_per_worker=1,
                    processes=True,
                    host="127.0.0.1",
                    dashboard_address="127.0.0.1:0",
                    memory_limit=f"{config.memory_gb}GB",
                    silence_logs=logging.ERROR,
                    resources=resources(config),
                )
            )
            client = stack.enter_context(Client(cluster, set_as_default=False))
            cluster.scale(n_workers)
        yield DaskExecutor(
            client, config, TopUp(cluster, lambda: cluster.scale(n_workers), lost_s=_LOST_S, queued=False)
        )


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C and a scheduler's warning back while the cluster starts; they come right after.

    Threads and processes inherit the mask, so that Ctrl-C, which a terminal sends to all of them, reaches
    this process alone, and this process stops its workers.
    """
    resource_tracker.ensure_running()  # it would lift the mask where it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGUSR1})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
