"""A run may be killed anywhere and started again: the files are the same as if nothing had happened."""

import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from pipelines.workflow import run_all
from segclr.config import load_config
from segclr.store.embeddings import open_embeddings
from segclr.store.parquet import read_folder
from tests.pipelines.conftest import ENVIRONMENT, IDS, SEGCLR, config_tree, content, segclr


def start(config: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [SEGCLR, "run", str(config)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=ENVIRONMENT,
    )


def kill_when(process: subprocess.Popen, sign: Path) -> bool:
    """SIGKILL the whole process group as soon as a file appears; False where it ended before."""
    while process.poll() is None:
        if any(sign.parent.glob(sign.name)):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.002)
    return False


def wait_until_gone(group: int) -> None:
    """No process of a group may outlive its first one for long."""
    end = time.monotonic() + 15
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("processes are left behind")


def test_every_node_has_one_finite_embedding_and_ids_survive(finished_run):
    nodes = read_folder(str(finished_run / "nodes"))
    table = open_embeddings(str(finished_run / "embeddings")).read_all()
    assert set(table.segment_ids.tolist()) == set(IDS.tolist())
    assert sorted(zip(nodes["segment_id"], nodes["node_id"], strict=True)) == list(
        zip(table.segment_ids, table.node_ids, strict=True)
    )
    assert np.isfinite(table.embeddings).all()
    assert table.embeddings.shape[1] == 64


def test_a_run_killed_in_every_stage_ends_with_the_files_of_an_undisturbed_one(
    volumes, finished_run, tmp_path
):
    run = tmp_path / "run"
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(config_tree(volumes, run)))
    signs = [
        "records/skeletonize/*.json",
        "nodes/*.parquet",
        "cubes.zarr/c/*",
        "records/cubes/*.json",
        "training/checkpoints/*2.ckpt",
        "encoder/model.safetensors",
        "parts/*.parquet",
        "embeddings/*.parquet",
        "untrained/parts/*.parquet",
        "aggregated/*",
        "records/evaluate/*.json",
    ]
    killed = [kill_when(start(config), run / sign) for sign in signs]
    assert sum(killed) >= len(signs) - 2  # a stage may pass between two looks
    last = segclr("run", str(config))
    assert last.returncode == 0, last.stderr
    assert content(run) == content(finished_run)


def test_two_workers_write_the_same_files_as_a_serial_run(volumes, finished_run, tmp_path):
    tree = config_tree(volumes, tmp_path / "run")
    tree["cluster"] = {"kind": "local", "workers": 2, "memory_gb": 2}
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(tree))
    done = segclr("run", str(config))
    assert done.returncode == 0, done.stderr
    ours, serial = content(tmp_path / "run"), content(finished_run)
    assert ours.keys() == serial.keys()
    assert ours == serial


def test_a_finished_run_is_not_done_again(finished_run):
    before = {p: p.stat().st_mtime_ns for p in finished_run.rglob("*") if p.is_file()}
    saved = yaml.safe_load((finished_run / "run.yaml").read_text())["config"]
    config = finished_run.parent / "again.yaml"
    config.write_text(yaml.safe_dump({**saved, "run": str(finished_run)}))
    run_all(load_config(str(config)))
    after = {p: p.stat().st_mtime_ns for p in finished_run.rglob("*") if p.is_file()}
    changed = {p.name for p in before if before[p] != after[p]}
    assert changed <= {"cubes_index.parquet"}


@pytest.mark.parametrize("name", ["nodes", "embeddings"])
def test_a_damaged_file_is_found_and_made_again(volumes, finished_run, tmp_path, name):
    import shutil

    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    victim = sorted((run / name).glob("*.parquet"))[0]
    victim.write_bytes(victim.read_bytes()[:-7])
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(config_tree(volumes, run)))
    run_all(load_config(str(config)))
    assert content(run) == content(finished_run)


@pytest.mark.parametrize(
    ("sign", "number"),
    [
        ("run.yaml", signal.SIGINT),
        ("records/skeletonize/*.json", signal.SIGINT),
        ("training/checkpoints/*2.ckpt", signal.SIGINT),
        ("records/skeletonize/*.json", signal.SIGTERM),
        ("training/checkpoints/*2.ckpt", signal.SIGTERM),
    ],
)
def test_ctrl_c_or_a_preempting_scheduler_ends_with_one_line_and_no_process_left(
    volumes, tmp_path, sign, number
):
    """A terminal's Ctrl-C and a batch system's SIGTERM reach all processes of the run."""
    tree = config_tree(volumes, tmp_path / "run")
    tree["cluster"] = {"kind": "local", "workers": 2, "memory_gb": 2}
    tree["train"] |= {"steps": 500}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tree))
    command = [SEGCLR, "run", str(tmp_path / "config.yaml")]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True, env=ENVIRONMENT
    )
    while not any((tmp_path / "run").glob(sign)):
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, number)
    _, stderr = process.communicate(timeout=60)
    asked = number is not signal.SIGINT
    assert process.returncode == (75 if asked else 1), stderr
    assert "Traceback" not in stderr
    by = f" by {number.name}" if asked else ""
    # Python's own tracker of semaphores may have a word after it: SIGTERM also ended the workers it watches
    ours = [line for line in stderr.splitlines() if "resource_tracker" not in line]
    assert ours[-1] == f"segclr: stopped{by}; the same command goes on from here"
    wait_until_gone(process.pid)
