"""Where parts are worked on: in this process, on local worker processes, or on a running Dask scheduler."""

from __future__ import annotations

import contextlib
import logging
import signal
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from types import TracebackType
from typing import Any, Protocol, Self

from segclr.config import ClusterConfig
from segclr.errors import ConfigError

__all__ = ["Executor", "Executors", "SerialExecutor"]

Job = Callable[[str], int]


class Executor(Protocol):
    """Takes jobs and gives back what is done, in any order."""

    @property
    def window(self) -> int:
        """Parts to hand out at a time."""
        ...

    def submit(self, job: Job, part: str) -> None:
        """Begin a part."""
        ...

    def next_done(self) -> tuple[str, int | BaseException]:
        """Wait for a part: its rows, or its error."""
        ...


class SerialExecutor:
    """Works in this process, part by part: for debugging, and for what needs the whole machine."""

    window = 1

    def __init__(self) -> None:
        """Nothing waits yet."""
        self._waiting: deque[tuple[Job, str]] = deque()

    def submit(self, job: Job, part: str) -> None:
        """Remember a part."""
        self._waiting.append((job, part))

    def next_done(self) -> tuple[str, int | BaseException]:
        """Do the part that waits longest."""
        job, part = self._waiting.popleft()
        try:
            return part, job(part)
        except Exception as error:  # noqa: BLE001  the runner decides what an error means
            return part, error


class _DaskExecutor:
    """Works on the workers of a Dask client."""

    def __init__(self, client: Any, *, n_workers: int) -> None:
        from distributed import as_completed

        self._client = client
        self._done = as_completed()
        self.window = 2 * n_workers

    def submit(self, job: Job, part: str) -> None:
        """Send a part to the scheduler; every attempt is work of its own, so no result is reused."""
        future = self._client.submit(job, part, pure=False, key=None)
        future.segclr_part = part
        self._done.add(future)

    def next_done(self) -> tuple[str, int | BaseException]:
        """Wait for any part."""
        future = next(self._done)
        if future.status == "finished":
            return future.segclr_part, future.result()
        error = future.exception()
        return future.segclr_part, error if error is not None else RuntimeError(
            f"the part was {future.status}"
        )


class Executors:
    """The executors of a run; the cluster starts with the first stage that needs it and stops at the end."""

    def __init__(self, config: ClusterConfig) -> None:
        """Nothing starts yet."""
        self._config = config
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
    """Start what the configuration asks for, and stop it at the end.

    Raises:
        ConfigError: ``kind: scheduler`` without an address, or nobody answers there.
    """
    if config.kind == "none":
        yield SerialExecutor()
        return
    import dask
    from distributed import Client, LocalCluster

    settings = {
        "distributed.worker.multiprocessing-method": "spawn",
        "distributed.logging.distributed": "error",
        "distributed.comm.timeouts.connect": "60s",
    }
    with dask.config.set(settings):
        if config.kind == "scheduler":
            if config.address is None:
                msg = "cluster.kind is scheduler: give its address as cluster.address, tcp://host:port"
                raise ConfigError(msg)
            try:
                client = Client(config.address, timeout="30s")
            except OSError as error:
                msg = f"no Dask scheduler answers at {config.address}: {error}"
                raise ConfigError(msg) from error
            with client:
                n_workers = max(1, len(client.scheduler_info(n_workers=-1)["workers"]))
                yield _DaskExecutor(client, n_workers=n_workers)
            return
        with contextlib.ExitStack() as stack:
            with _interrupts_held():
                cluster = stack.enter_context(
                    LocalCluster(
                        n_workers=config.workers,
                        threads_per_worker=1,
                        processes=True,
                        host="127.0.0.1",
                        dashboard_address="127.0.0.1:0",
                        memory_limit=f"{config.memory_gb}GB",
                        silence_logs=logging.ERROR,
                    )
                )
                client = stack.enter_context(Client(cluster))
            yield _DaskExecutor(client, n_workers=config.workers)


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back while the cluster starts; it comes right after.

    Threads and processes inherit the mask, so that Ctrl-C, which a terminal sends to all of them, reaches
    this process alone, and this process stops its workers.
    """
    resource_tracker.ensure_running()  # it would lift the mask where it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
