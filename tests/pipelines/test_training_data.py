"""What training reads, from the store and from the volume."""

import json
import shutil

import numpy as np
import pytest

from pipelines.records import _checksum
from pipelines.run import Run
from pipelines.train import train_stage
from pipelines.training_data import training_data, training_inputs
from segclr.config import RunConfig
from segclr.errors import ConfigError, MissingDataError
from segclr.store.cubes import CubeStore
from segclr.train import ArrayCubes, VolumeCubes
from tests.pipelines.conftest import config_tree


@pytest.fixture
def run_with(finished_run, volumes, tmp_path):
    """A copy of the finished run without its training, some keys changed."""
    folder = tmp_path / "run"
    shutil.copytree(finished_run, folder, ignore=shutil.ignore_patterns("training", "encoder"))

    def of(**sections) -> Run:
        tree = config_tree(volumes, folder)
        for name, keys in sections.items():
            tree[name] = {**tree.get(name, {}), **keys}
        return Run(str(folder), RunConfig(**tree))

    return of


def test_the_volume_gives_the_cubes_that_the_store_holds(run_with):
    stored, cut = (
        training_data(run, *run.open_volumes()) for run in (run_with(), run_with(data={"source": "volume"}))
    )
    assert isinstance(stored.cubes, ArrayCubes)
    assert isinstance(cut.cubes, VolumeCubes)
    for side in ("training", "held_out"):
        a, b = getattr(stored, side), getattr(cut, side)
        assert np.array_equal(a.groups, b.groups)
        for rows in ("rows_a", "rows_b"):
            cubes = stored.cubes.read(getattr(a, rows))
            assert np.array_equal(cut.cubes.read(getattr(b, rows)), cubes)
            assert cubes.any()


def test_an_encoder_trained_from_the_volume_without_a_store_is_the_same(run_with, finished_run, tmp_path):
    run = run_with(data={"source": "volume"})
    shutil.rmtree(tmp_path / "run/cubes.zarr")
    shutil.rmtree(tmp_path / "run/records/cubes")
    train_stage(run).work("encoder")
    wanted = (finished_run / "encoder/model.safetensors").read_bytes()
    assert (tmp_path / "run/encoder/model.safetensors").read_bytes() == wanted
    with pytest.raises(MissingDataError):
        train_stage(run_with())


def test_a_store_beyond_the_memory_allowed_is_streamed(run_with):
    run = run_with(train={"memory_gb": 1e-6})
    assert isinstance(training_data(run, *run.open_volumes()).cubes, CubeStore)


@pytest.mark.parametrize("source", ["store", "volume"])
def test_other_cubes_under_the_same_pairs_are_another_input(run_with, tmp_path, source):
    """Voxels are not compared where a training goes on: this digest answers for them."""
    run = run_with(data={"source": source})
    before = training_inputs(run)
    digest_before = training_data(run, *run.open_volumes()).cubes_digest
    stage = "cubes" if source == "store" else "nodes"
    record = next(iter(sorted((tmp_path / "run/records" / stage).glob("*.json"))))
    tree = json.loads(record.read_text())
    del tree["checksum"]
    name = next(iter(tree["files"]))
    tree["files"][name]["sha256"] = "0" * 64  # as of a file with other cubes or nodes
    record.write_text(json.dumps({**tree, "checksum": _checksum(tree)}))
    after = training_inputs(run)
    assert {key for key in before if before[key] != after[key]} == {"cubes"}
    data = training_data(run, *run.open_volumes())
    assert (data.cubes_digest, before["cubes"]) == (after["cubes"], digest_before)


def test_balance_and_growth_reach_the_data(run_with):
    run = run_with(
        data={"source": "volume", "balance": "segments"}, train={"augment": {"dilate_vx": 1, "shift_vx": 1}}
    )
    data = training_data(run, *run.open_volumes())
    assert data.training.balance == "segments"
    assert data.cubes.grows


def test_source_and_balance_are_inputs_of_the_stage_and_the_cache_is_not(run_with):
    inputs = [
        training_inputs(run_with(data=keys))
        for keys in ({}, {"cache_gb": 2}, {"balance": "segments"}, {"source": "volume"})
    ]
    assert inputs[0] == inputs[1]
    assert inputs[0] != inputs[2]
    assert inputs[0]["cubes"] != inputs[3]["cubes"]


def test_masks_that_grow_are_refused_with_stored_cubes(run_with):
    for keys in ({"dilate_vx": 1}, {"merge_probability": 0.1}):
        with pytest.raises((ConfigError, ValueError), match=r"set data.source to volume \(it is store\)"):
            run_with(train={"augment": keys})
