"""Which worker gets a part, on a client that only tells of workers."""

import os
import time
from types import SimpleNamespace

import pytest

from pipelines.dask_executor import DaskExecutor, _OneGpu, resources
from segclr.config import ClusterConfig
from segclr.errors import ConfigError, LostWorkerError, UnfinishedError, UnreachableError


class Future(SimpleNamespace):
    __hash__ = object.__hash__

    def cancel(self):
        self.cancelled = True


class Client:
    """Tells of workers by name, and remembers what it was given."""

    status = "running"

    def __init__(self, **workers: dict) -> None:
        self.workers, self.given, self.plugins = workers, [], []

    def scheduler_info(self, n_workers):
        assert n_workers == -1
        return {"workers": {f"tcp://{name}": {"name": name, **facts} for name, facts in self.workers.items()}}

    def submit(self, job, part, **how):
        self.given.append((part, how))
        return Future(add_done_callback=lambda _: None)

    def register_plugin(self, plugin):
        self.plugins.append(plugin)


GPU = {"resources": {"GPU": 1.0}}


def test_each_worker_gets_one_part_bound_to_it():
    client = Client(a={}, b={}, c={"status": "closing"})
    executor = DaskExecutor(client, ClusterConfig(kind="scheduler"))
    assert executor.room() == 2
    executor.submit(len, "one")
    executor.submit(len, "two")
    assert executor.room() == 0
    bound = [how["workers"] for _, how in client.given]
    assert sorted(bound) == [["tcp://a"], ["tcp://b"]]
    assert all(how["allow_other_workers"] is False for _, how in client.given)


def test_parts_on_gpus_go_to_workers_that_offer_one():
    client = Client(a={}, b=GPU)
    executor = DaskExecutor(client, ClusterConfig(kind="scheduler", gpus=1))
    assert executor.room() == 1
    executor.submit(len, "one")
    assert client.given[0][1]["workers"] == ["tcp://b"]
    assert client.given[0][1]["resources"] == {"GPU": 1.0}


def test_workers_without_a_gpu_are_told_before_anything_is_handed_out():
    executor = DaskExecutor(Client(a={}, b={}), ClusterConfig(kind="scheduler", gpus=1))
    with pytest.raises(ConfigError, match="none of 2 workers offers a GPU"):
        executor.room()


def test_no_worker_at_all_ends_the_wait_with_the_same_command_goes_on():
    executor = DaskExecutor(Client(), ClusterConfig(kind="scheduler", wait_s=0.2))
    with pytest.raises(UnfinishedError, match="no worker came"):
        executor.room()


@pytest.mark.parametrize(
    ("name", "visible", "wanted"),
    [
        ("0", None, "0"),
        ("1", None, "1"),
        ("5", None, "1"),
        ("SLURMCluster-7-1", "3,6", "6"),
        ("gpu", None, "0"),
    ],
)
def test_a_worker_sees_the_gpu_of_its_rank_alone(monkeypatch, name, visible, wanted):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    _OneGpu(2).setup(SimpleNamespace(name=name))
    assert os.environ["CUDA_VISIBLE_DEVICES"] == wanted


def test_the_plugin_is_given_to_workers_that_the_run_started():
    for kind, n in (("local", 1), ("scheduler", 0)):
        client = Client()
        DaskExecutor(client, ClusterConfig(kind=kind, gpus=2))
        assert len(client.plugins) == n
    assert resources(ClusterConfig()) == {}


class Answer(Future):
    """A future that is done, as far as the client knows."""

    def result(self, timeout):
        raise TimeoutError


@pytest.mark.parametrize("status", ["finished", "lost", "cancelled"])
def test_a_worker_that_dies_with_its_answer_is_a_death_and_not_the_end_of_the_scheduler(status):
    client = Client(a={})
    executor = handed_out(client, Answer(status=status))
    part, error = executor.next_done()
    assert part == "one"
    assert isinstance(error, LostWorkerError)
    client = Client(a={})
    executor = handed_out(client, Answer(status=status))
    client.status = "connecting"
    with pytest.raises(UnreachableError, match="scheduler is gone"):
        executor.next_done()


def handed_out(client, future):
    """An executor with one part, whose future is done."""
    future.add_done_callback = lambda tell: tell(future)
    client.submit = lambda *_, **__: future
    executor = DaskExecutor(client, ClusterConfig(kind="scheduler"))
    assert executor.room() == 1
    executor.submit(len, "one")
    return executor


def test_a_paused_worker_keeps_its_part_and_gets_no_other(monkeypatch):
    monkeypatch.setattr("pipelines.dask_executor._TICK_S", 0.01)
    monkeypatch.setattr("pipelines.dask_executor._GONE_S", 0.02)
    client = Client(a={})
    executor = DaskExecutor(client, ClusterConfig(kind="scheduler", wait_s=0.2))
    assert executor.room() == 1
    executor.submit(len, "one")
    client.workers["a"] = {"status": "paused"}
    for _ in range(5):
        time.sleep(0.02)
        assert executor.next_done() is None
    client.workers = {"b": {"status": "paused"}}
    given_up = [executor.next_done() for _ in range(5) if not time.sleep(0.02)]
    (part, error) = next(found for found in given_up if found is not None)
    assert part == "one"
    assert isinstance(error, LostWorkerError)
    with pytest.raises(UnfinishedError, match="no worker came"):
        executor.room()


def test_a_worker_that_leaves_between_the_look_and_the_part_costs_that_part_only(monkeypatch):
    client = Client(a={})
    executor = DaskExecutor(client, ClusterConfig(kind="scheduler"))
    assert executor.room() == 1
    client.workers = {}
    monkeypatch.setattr("pipelines.dask_executor._TICK_S", 0.0)
    executor.submit(len, "one")
    assert client.given[0][1]["workers"] == ["tcp://a"]
