"""Which worker gets a part, on a client that only tells of workers."""

import os
from types import SimpleNamespace

import pytest

from pipelines.dask_executor import DaskExecutor, _OneGpu, resources
from segclr.config import ClusterConfig
from segclr.errors import ConfigError, UnfinishedError


class Future(SimpleNamespace):
    __hash__ = object.__hash__


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
