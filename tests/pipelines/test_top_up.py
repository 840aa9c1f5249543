"""Which workers are asked for anew."""

import time

import pytest

from pipelines.dask_executor import Worker
from pipelines.top_up import TopUp


class Cluster:
    """Names what is wanted, and gives it new names where it is asked for again."""

    def __init__(self, n_jobs: int) -> None:
        self.n_jobs, self.n_named = n_jobs, 0
        self.worker_spec, self.workers = {}, {}
        self.scale()

    def scale(self) -> None:
        while len(self.worker_spec) < self.n_jobs:
            self.worker_spec[f"job-{self.n_named}"] = {}
            self.n_named += 1


def worker(name: str) -> Worker:
    return Worker(address=f"tcp://{name}", name=name, memory=0, memory_limit=0, gpus=0)


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_a_job_is_replaced_when_the_last_of_its_workers_is_gone_for_long(clock):
    cluster = Cluster(2)
    look = TopUp(cluster, cluster.scale, lost_s=8, queued=True)
    look([worker("job-0-0"), worker("job-0-1"), worker("job-1-0")])
    clock[0] += 7
    look([worker("job-0-1")])
    assert list(cluster.worker_spec) == ["job-0", "job-1"]
    clock[0] += 7
    look([worker("job-0-1")])
    assert list(cluster.worker_spec) == ["job-0", "job-2"]
    look([worker("job-0-1"), worker("job-2-0")])
    assert list(cluster.worker_spec) == ["job-0", "job-2"]


def test_the_name_of_one_job_is_not_taken_for_the_beginning_of_another(clock):
    cluster = Cluster(12)
    look = TopUp(cluster, cluster.scale, lost_s=8, queued=True)
    look([worker("job-1"), worker("job-11")])
    clock[0] += 9
    look([worker("job-11")])
    assert "job-1" not in cluster.worker_spec
    assert "job-11" in cluster.worker_spec


@pytest.mark.parametrize(("queued", "named"), [(True, 1), (False, 2)])
def test_what_never_came_waits_in_the_queue_or_failed_to_start(clock, queued, named):
    cluster = Cluster(1)
    look = TopUp(cluster, cluster.scale, lost_s=8, queued=queued)
    look([])
    clock[0] += 9
    look([])
    assert cluster.n_named == named


def test_a_local_worker_that_failed_to_start_is_started_again_though_its_number_is_reused(clock):
    """Dask opens what is wanted and not among its workers, where the failed one still is."""

    class Numbered(Cluster):
        def __init__(self) -> None:
            super().__init__(2)
            self.workers = {0: "running", 1: "failed"}

        def scale(self) -> None:
            self.worker_spec = {0: {}, 1: {}}

    cluster = Numbered()
    look = TopUp(cluster, cluster.scale, lost_s=8, queued=False)
    look([worker("0")])
    clock[0] += 9
    look([worker("0")])
    assert cluster.worker_spec.keys() - cluster.workers.keys() == {1}
