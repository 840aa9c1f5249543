"""Parts on the workers of a Dask client, one part a worker at a time.

Every part is bound to one idle worker. So a worker that dies takes one part with it and no other is
suspected, nothing queues on a worker that may die, and workers that come later are used at once.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any

from distributed import KilledWorker, WorkerPlugin

from pipelines.cluster import Job
from segclr.config import ClusterConfig
from segclr.errors import ConfigError, LostWorkerError, UnfinishedError, UnreachableError

__all__ = ["DaskExecutor", "Worker", "resources"]

_TICK_S = 1.0
"""Between two looks at the workers while nothing is done."""

_GONE_S = 3.0
"""A worker that is not listed for so long is gone; until then Dask tells of its part itself."""

_ANSWER_S = 30.0
"""An answer lies on its worker until it is fetched; one that is not here by then died with it."""

_ALIVE = ("running", "paused", "closing_gracefully")
"""States in which a worker goes on with its part; "paused" is one above 80 % of its memory."""


@dataclass(frozen=True)
class Worker:
    """A worker as the scheduler lists it; one that is not ``ready`` works, but takes no further part."""

    address: str
    name: str
    memory: int
    memory_limit: int
    gpus: int
    ready: bool = True


def resources(config: ClusterConfig) -> dict[str, float]:
    """What each worker offers and each part takes: a GPU, where the work is on GPUs."""
    return {"GPU": 1.0} if config.gpus else {}


class _OneGpu(WorkerPlugin):
    """Shows a worker the one GPU of its rank on its machine, before anything opens it."""

    name = "segclr-one-gpu"

    def __init__(self, n_gpus: int) -> None:
        """Of one machine."""
        self._n_gpus = n_gpus

    def setup(self, worker: Any) -> None:
        """Called by Dask where a worker starts, and where it starts again."""
        last = re.search(r"(\d+)$", str(worker.name))
        rank = int(last[1]) % self._n_gpus if last else 0
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        devices = visible.split(",") if visible else [str(i) for i in range(self._n_gpus)]
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[rank % len(devices)]


class DaskExecutor:
    """Works on the workers of a Dask client.

    Args:
        client: connected.
        config: how long to wait for workers, and whether they must offer GPUs.
        tend: called with the workers at every look at them, to replace those that are lost.
    """

    def __init__(
        self, client: Any, config: ClusterConfig, tend: Callable[[list[Worker]], None] = lambda _: None
    ) -> None:
        """Nothing is handed out yet."""
        self._client, self._config, self._tend = client, config, tend
        self._running: dict[Any, tuple[str, Worker]] = {}
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._workers: dict[str, Worker] = {}
        self._missed: dict[str, float] = {}
        self._looked = -_TICK_S
        if config.gpus and config.kind != "scheduler":
            client.register_plugin(_OneGpu(config.gpus))

    def room(self) -> int:
        """Idle workers.

        Raises:
            ConfigError: workers are there, but none offers a GPU.
            UnfinishedError: no worker came in ``cluster.wait_s``.
        """
        end = time.monotonic() + self._config.wait_s
        while True:
            self._look()
            free = self._free()
            if free or self._running:
                return len(free)
            if self._config.gpus and self._workers and not any(w.gpus for w in self._workers.values()):
                msg = (
                    f"cluster.gpus is {self._config.gpus}, but none of {len(self._workers)} workers offers a "
                    'GPU: start them with --resources "GPU=1", one process a GPU'
                )
                raise ConfigError(msg)
            if time.monotonic() > end:
                msg = (
                    f"no worker came within cluster.wait_s = {self._config.wait_s:g} s: look at the queue of "
                    "the batch system; the same command goes on"
                )
                raise UnfinishedError(msg)
            time.sleep(0.1)

    def _free(self) -> list[Worker]:
        busy = {worker.address for _, worker in self._running.values()}
        idle = (w for address, w in self._workers.items() if address not in busy and w.ready)
        return [w for w in idle if w.gpus > 0 or not self._config.gpus]

    def submit(self, job: Job, part: str) -> None:
        """Send a part to a worker that ``room`` found idle; every attempt is work of its own.

        No result is reused, and should the worker have left since, its part is given up as any other.
        """
        worker = self._free()[0]
        future = self._client.submit(
            job,
            part,
            pure=False,
            workers=[worker.address],
            allow_other_workers=False,
            resources=resources(self._config) or None,
        )
        self._running[future] = (part, worker)
        future.add_done_callback(self._done.put)

    def next_done(self) -> tuple[str, int | BaseException] | None:
        """Wait for any part.

        Raises:
            UnreachableError: the scheduler is gone, and with it all that was handed out.
        """
        try:
            future = self._done.get(timeout=_TICK_S)
        except queue.Empty:
            return self._gone()
        if future not in self._running:
            return None  # was given up before
        part, worker = self._running.pop(future)
        if future.status == "finished":
            with contextlib.suppress(TimeoutError, CancelledError):
                return part, future.result(timeout=_ANSWER_S)
            future.cancel()
        elif future.status == "error":
            error = future.exception()
            if isinstance(error, KilledWorker):
                self._looked = -_TICK_S
                return part, self._death(part, worker)
            return part, error
        if self._client.status != "running":
            raise self._scheduler_lost()
        return part, self._death(part, worker)  # after its work, with the answer

    def _gone(self) -> tuple[str, BaseException] | None:
        """A part whose worker is no longer listed: it left, or the scheduler does not tell."""
        self._look()
        now = time.monotonic()
        for future, (part, worker) in self._running.items():
            if worker.address in self._workers:
                self._missed.pop(worker.address, None)
            elif now - self._missed.setdefault(worker.address, now) > _GONE_S:
                del self._running[future]
                future.cancel()
                return part, self._death(part, worker)
        return None

    def _death(self, part: str, worker: Worker) -> LostWorkerError:
        used, limit = worker.memory / 1e9, worker.memory_limit / 1e9
        if limit and used > 0.7 * limit:
            why = f"it was last seen with {used:.1f} of {limit:.1f} GB: out of memory"
        else:
            why = f"killed from outside, crashed, or suddenly over its {limit:.1f} GB"
        return LostWorkerError(f"the worker on {part} died: {why}")

    def _scheduler_lost(self) -> UnreachableError:
        return UnreachableError(
            "the Dask scheduler is gone; finished parts are kept, the same command goes on"
        )

    def _look(self) -> None:
        if time.monotonic() - self._looked < _TICK_S:
            return
        try:
            listed = self._client.scheduler_info(n_workers=-1)["workers"]
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            raise self._scheduler_lost() from error
        if self._client.status != "running":
            raise self._scheduler_lost()
        self._looked = time.monotonic()
        self._workers = {
            address: Worker(
                address=address,
                name=str(facts["name"]),
                memory=int(facts.get("metrics", {}).get("memory", 0)),
                memory_limit=int(facts.get("memory_limit") or 0),
                gpus=int(facts.get("resources", {}).get("GPU", 0)),
                ready=facts.get("status", "running") == "running",
            )
            for address, facts in listed.items()
            if facts.get("status", "running") in _ALIVE
        }
        for future, (part, worker) in self._running.items():
            # the last word on a worker's memory is what its death is judged by
            self._running[future] = (part, self._workers.get(worker.address, worker))
        self._tend(list(self._workers.values()))
