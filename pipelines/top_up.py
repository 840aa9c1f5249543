"""Replacing workers that are gone for good: neither Dask's local cluster nor dask-jobqueue does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from pipelines.dask_executor import Worker

__all__ = ["TopUp"]


class TopUp:
    """Asks anew for each worker, or job of workers, that was there and is there no more.

    Args:
        cluster: of Dask; its ``worker_spec`` names what is wanted.
        scale: asks for as many as are wanted.
        lost_s: s without a worker after which it counts as gone; its nanny starts one again sooner.
        queued: what never came waits in a queue; else it failed to start.
    """

    def __init__(self, cluster: Any, scale: Callable[[], None], *, lost_s: float, queued: bool) -> None:
        """None was seen yet."""
        self._cluster, self._scale, self._lost_s, self._queued = cluster, scale, lost_s, queued
        self._last_seen: dict[Any, float] = {}

    def __call__(self, workers: list[Worker]) -> None:
        """Look at the workers that are there."""
        now = time.monotonic()
        wanted = list(self._cluster.worker_spec)
        if not self._queued:
            self._last_seen = dict.fromkeys(wanted, now) | self._last_seen
        for worker in workers:
            for job in wanted:
                if worker.name == str(job) or worker.name.startswith(f"{job}-"):
                    self._last_seen[job] = now
        lost = [job for job in wanted if now - self._last_seen.get(job, now) > self._lost_s]
        for job in lost:
            del self._last_seen[job]
            self._cluster.worker_spec.pop(job, None)
            if not self._queued:  # else Dask, which gives the number anew, takes it for the one that failed
                self._cluster.workers.pop(job, None)
        if lost:
            self._scale()
