"""The paths through SLURM, exercised on a real one of one loopback node, which the tests start themselves."""

import json
import os
import shlex
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.pipelines.conftest import SEGCLR, config_tree, content, segclr
from tests.pipelines.slow_stage import attempts, names
from tests.pipelines.slurm_node import Slurm, missing_programs, running_slurm, wait_until

TOP = Path(__file__).resolve().parents[2]
SCRIPT = TOP / "configs" / "clusters" / "slurm_array.sbatch"
ENVIRONMENT = {"PYTHONPATH": str(TOP), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def slurm():
    # The one skip that is allowed: the packages come from the system, not from pip (.ci/run installs them).
    if missing := missing_programs():
        pytest.skip(f"no SLURM here, {', '.join(missing)} missing: apt-get install slurm-wlm munge, as root")
    with running_slurm() as slurm:
        yield slurm


def slow_config(tmp_path: Path, *, n_parts: int, part_s: float, **cluster) -> Path:
    path = tmp_path / "slow.json"
    told = {"folder": str(tmp_path / "run"), "n_parts": n_parts, "part_s": part_s, "cluster": cluster}
    path.write_text(json.dumps(told))
    return path


def program(path: Path, line: str) -> str:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def slow_program(tmp_path: Path) -> str:
    line = f'exec {shlex.quote(sys.executable)} -W error::UserWarning -m tests.pipelines.slow_stage "$@"'
    return program(tmp_path / "slow", line)


def submit(slurm: Slurm, tmp_path: Path, *options: str, script: tuple[str, ...], **environment: str) -> str:
    """Hand the array script in; answers the job's id."""
    export = ",".join(["ALL", *(f"{k}={v}" for k, v in (ENVIRONMENT | environment).items())])
    log = f"--output={tmp_path}/job-%a.log"
    answer = slurm.call(
        "sbatch", "--parsable", f"--export={export}", log, "--mem=0", "--cpus-per-task=1", *options, *script
    )
    return answer.partition(";")[0]


def logs(tmp_path: Path) -> str:
    return "\n".join(path.read_text() for path in sorted(tmp_path.glob("job-*.log")))


def n_done(tmp_path: Path) -> int:
    return len(list((tmp_path / "run" / "records" / "slow").glob("*.json")))


def at_work(tmp_path: Path) -> set[str]:
    """The jobs that have begun a part."""
    logs = (tmp_path / "run" / "attempts").glob("*")
    return {job for log in logs for line in log.read_text().splitlines() for job in line.split(" ")[1:]}


@pytest.mark.parametrize("name", ["USR1", "TERM"])
def test_a_signal_before_the_run_listens_requeues_the_task_too(tmp_path, name):
    """Without SLURM: the script itself, a run that still imports, and a scontrol that only notes."""
    program(tmp_path / "scontrol", f'echo "$@" >> {shlex.quote(str(tmp_path / "requeued"))}')
    importing = program(
        tmp_path / "importing", f"touch {shlex.quote(str(tmp_path / 'begun'))}; exec sleep 60"
    )
    task = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_COUNT": "4"}
    task |= {"SLURM_ARRAY_JOB_ID": "17", "SEGCLR": importing, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with subprocess.Popen(["bash", str(SCRIPT), "my.yaml"], env=os.environ | task) as process:
        wait_until((tmp_path / "begun").exists, "it has begun")
        process.send_signal(getattr(signal, f"SIG{name}"))
        process.wait(timeout=50)
    assert (tmp_path / "requeued").read_text() == "requeue 17_3\n"


def test_a_run_that_a_signal_ends_by_itself_is_not_requeued(tmp_path):
    program(tmp_path / "scontrol", f'echo "$@" >> {shlex.quote(str(tmp_path / "requeued"))}')
    task = {"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_COUNT": "1"}
    task |= {"SLURM_ARRAY_JOB_ID": "17", "SEGCLR": program(tmp_path / "dying", "kill -TERM $$")}
    environment = os.environ | task | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert subprocess.run(["bash", str(SCRIPT), "my.yaml"], env=environment, check=False).returncode == 143
    assert not (tmp_path / "requeued").exists()


def test_a_cancelled_worker_is_replaced_and_every_part_is_done(slurm, tmp_path):
    jobs = {"queue": "main", "walltime": "00:10:00", "skip_directives": ["--mem"]}
    jobs["prologue"] = [f"export PYTHONPATH={TOP}"]
    config = slow_config(tmp_path, n_parts=24, part_s=1.0, kind="slurm", workers=2, memory_gb=1, jobs=jobs)
    command = [sys.executable, "-m", "tests.pipelines.slow_stage", "run", str(config)]
    environment = slurm.environment | ENVIRONMENT
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, cwd=TOP) as process:
        try:
            wait_until(lambda: len(at_work(tmp_path)) == 2 or process.poll() is not None, "both jobs work")
            first = set(slurm.jobs())
            assert len(first) == 2, process.stderr.read() if process.poll() is not None else first
            victim = sorted(first)[0]
            slurm.call("scancel", "--signal=KILL", "--full", victim)
            wait_until(lambda: set(slurm.jobs()) - first or process.poll() is not None, "a job in its place")
            assert set(slurm.jobs()) - first
            assert process.wait(timeout=120) == 0, process.stderr.read()
        finally:
            process.kill()
    done = attempts(tmp_path / "run")
    assert sorted(done) == names(24)
    assert sum(done.values()) <= 25  # the part that was in the worker's hands
    wait_until(lambda: not slurm.jobs(), "all jobs are cancelled")


def test_an_array_makes_the_files_of_one_process(slurm, volumes, tmp_path):
    config = tmp_path / "config.yaml"
    for folder in ("run", "serial"):
        tree = config_tree(volumes, tmp_path / folder)
        tree["skeletons"] = {"n_shards": 3}
        (tmp_path / f"{folder}.yaml").write_text(yaml.safe_dump(tree))
    config = tmp_path / "run.yaml"
    stages = program(tmp_path / "stages", f'shift; exec {shlex.quote(SEGCLR)} skeletonize --config "$@"')
    job = submit(slurm, tmp_path, "--array=0-1", script=(str(SCRIPT), str(config)), SEGCLR=stages)
    serial = segclr("skeletonize", "--config", str(tmp_path / "serial.yaml"))
    assert serial.returncode == 0, serial.stderr
    wait_until(lambda: not slurm.jobs(), "the array is over")
    assert slurm.fact(f"{job}_0", "JobState") == "COMPLETED", logs(tmp_path)
    ours = {k: v for k, v in content(tmp_path / "run").items() if "described" not in k}
    assert ours == content(tmp_path / "serial")


def test_a_task_near_its_walltime_stops_and_goes_on_after_its_requeue(slurm, tmp_path):
    config = slow_config(tmp_path, n_parts=45, part_s=1.0)
    limits = ("--array=0-0", "--time=1", "--signal=B:USR1@50")
    job = submit(slurm, tmp_path, *limits, script=(str(SCRIPT), str(config)), SEGCLR=slow_program(tmp_path))
    wait_until(lambda: not slurm.jobs(), "the array is over", seconds=300)
    assert slurm.fact(f"{job}_0", "JobState") == "COMPLETED", logs(tmp_path)
    assert int(slurm.fact(f"{job}_0", "Restarts")) >= 1
    assert "stopped: SIGUSR1" in logs(tmp_path)
    assert n_done(tmp_path) == 45
    restarts = int(slurm.fact(f"{job}_0", "Restarts"))
    assert sum(attempts(tmp_path / "run").values()) <= 45 + restarts  # only what was in progress is repeated


def test_a_requeued_task_gives_its_part_back_and_goes_on(slurm, tmp_path):
    config = slow_config(tmp_path, n_parts=12, part_s=0.5)
    job = submit(
        slurm, tmp_path, "--array=0-1", script=(str(SCRIPT), str(config)), SEGCLR=slow_program(tmp_path)
    )
    wait_until(lambda: n_done(tmp_path) >= 2, "some parts are done")
    slurm.call("scontrol", "requeue", f"{job}_1")
    wait_until(lambda: not slurm.jobs(), "the array is over")
    for task in range(2):
        assert slurm.fact(f"{job}_{task}", "JobState") == "COMPLETED", logs(tmp_path)
    assert slurm.fact(f"{job}_1", "Restarts") == "1"
    assert n_done(tmp_path) == 12
    assert sum(attempts(tmp_path / "run").values()) <= 13
