"""Faults injected into the runner (FAULTS C.3): nothing wrong, nothing lost, a rerun does what is missing."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from pipelines import blocks
from pipelines.blocks import Stage, run_stage
from pipelines.busy import run_held
from pipelines.cli import main
from pipelines.cluster import Executors
from pipelines.inspect import run_status
from pipelines.lost import lost_parts
from pipelines.records import Outcome, failure, is_done, read_record
from pipelines.run import open_run, saved_config
from pipelines.signals import StopAskedError, stops_heard
from pipelines.workflow import run_one
from segclr import files
from segclr.config import RunConfig
from segclr.errors import (
    ConfigError,
    CorruptDataError,
    DataError,
    MissingDataError,
    RunBusyError,
    RunMismatchError,
    StageFailedError,
    UnreachableError,
)
from tests.pipelines.conftest import write_run_yaml
from tests.pipelines.slow_stage import INPUTS, attempts, die_on, make_run, names, stage_of, write_slowly
from tests.pipelines.slurm_node import wait_until

TOP = Path(__file__).resolve().parents[2]
QUICK = {"retry_first_s": 0.001, "retry_most_s": 0.002}
LOCAL = {"kind": "local", "workers": 2, "memory_gb": 1} | QUICK


def do(run, stage: Stage):
    with Executors(run.config.cluster) as executors:
        return run_stage(run, stage, executors)


def start(tmp_path: Path, *more: str, n_parts: int = 12, part_s: float = 0.2, **cluster) -> subprocess.Popen:
    told = {"folder": str(tmp_path / "run"), "n_parts": n_parts, "part_s": part_s, "cluster": cluster}
    (tmp_path / "slow.json").write_text(json.dumps(told))
    command = [sys.executable, "-m", "tests.pipelines.slow_stage", "run", str(tmp_path / "slow.json"), *more]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=TOP, start_new_session=True)


def finished(process: subprocess.Popen) -> tuple[int, str]:
    """Status and standard error of a process, at its end."""
    _, told = process.communicate(timeout=60)
    return process.returncode, told


def recorded(folder: Path) -> list[str]:
    return sorted(p.stem for p in (folder / "records" / "slow").glob("*.json"))


def fail_on(folder: str, bad: tuple[str, ...], error: Exception, part: str) -> Outcome:
    outcome = write_slowly(folder, 0, part)
    if part in bad:
        raise error
    return outcome


def stand_in(folder: str, part: str) -> Outcome:
    files.write_bytes(f"{folder}/instead/{part}", b"lost")
    return Outcome((f"instead/{part}",), counts={"lost_nodes": 3})


def failing(folder: Path, n_parts: int, bad: tuple[str, ...], error: Exception, **facts) -> Stage:
    return Stage("slow", names(n_parts), partial(fail_on, str(folder), bad, error), INPUTS, **facts)


@pytest.mark.parametrize(
    ("error", "n"), [(OSError("again"), 3), (CorruptDataError("crc"), 2), (DataError("wrong"), 1)]
)
def test_a_part_is_tried_as_often_as_its_error_deserves(tmp_path, error, n):
    with pytest.raises(StageFailedError, match="part-001"):
        do(make_run(tmp_path, **QUICK), failing(tmp_path, 3, ("part-001",), error))
    assert attempts(tmp_path) == {"part-000": 1, "part-001": n, "part-002": 1}


def test_a_run_goes_on_without_a_part_that_something_stands_in_for(tmp_path):
    run = make_run(tmp_path, **QUICK)
    without = partial(stand_in, str(tmp_path))
    summary = do(
        run, failing(tmp_path, 4, ("part-002",), CorruptDataError("crc of a chunk"), without=without)
    )
    assert [(p.part, p.error, p.n_nodes) for p in summary.lost] == [("part-002", "CorruptDataError", 3)]
    assert "crc of a chunk" in str(summary.lost[0])
    assert recorded(tmp_path) == names(4)
    files.write_bytes(run.path("run.yaml"), b"")
    told = next(s for s in _status(run) if s["stage"] == "slow")
    assert (told["total"], told["done"], told["failed"], told["missing"]) == (4, 3, 1, 0)


def _status(run) -> list:
    write_run_yaml(Path(run.url), run.config.model_dump(mode="json"))
    return run_status(run.url)


def test_a_part_that_comes_back_is_whole_again_and_what_stood_in_for_it_goes(tmp_path):
    run, without = make_run(tmp_path, **QUICK), partial(stand_in, str(tmp_path))
    do(run, failing(tmp_path, 3, ("part-002",), DataError("gone"), without=without))
    assert do(run, failing(tmp_path, 3, (), DataError("gone"), without=without)).lost == ()
    record = read_record(run.url, "slow", "part-002")
    assert list(record.files) == ["out/part-002"]
    assert record.failed is None
    assert not (tmp_path / "instead" / "part-002").exists()


def test_what_later_stages_were_made_without_comes_back_only_when_asked_for_and_they_are_made_again(tmp_path):
    without = partial(stand_in, str(tmp_path))

    def stage(bad) -> Stage:
        return Stage(
            "embed", names(2), partial(fail_on, str(tmp_path), bad, DataError("x")), INPUTS, without=without
        )

    do(make_run(tmp_path), stage(("part-001",)))
    later = Stage("compact", ["all"], partial(write_slowly, str(tmp_path), 0), INPUTS)
    do(make_run(tmp_path), later)
    assert len(do(make_run(tmp_path), stage(())).lost) == 1
    assert is_done(str(tmp_path), "compact", "all", inputs=INPUTS)
    assert do(make_run(tmp_path, retry_lost=True), stage(())).lost == ()
    assert not is_done(str(tmp_path), "compact", "all", inputs=INPUTS)


@pytest.mark.parametrize(("allowed", "bad"), [(1, 2), (9, 4)])
def test_a_run_does_not_go_on_without_too_many_or_all_parts(tmp_path, allowed, bad):
    run = make_run(tmp_path, max_failed_parts=allowed, **QUICK)
    stage = failing(tmp_path, 4, tuple(names(bad)), DataError("x"), without=partial(stand_in, str(tmp_path)))
    with pytest.raises(StageFailedError, match="max_failed_parts"):
        do(run, stage)


def test_a_full_disk_ends_the_run_with_one_message_and_the_rerun_completes(tmp_path):
    run, full = make_run(tmp_path, **QUICK), OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(StageFailedError, match="the disk is full"):
        do(run, failing(tmp_path, 4, ("part-002",), full, without=partial(stand_in, str(tmp_path))))
    assert "part-002" not in recorded(tmp_path)
    assert list(lost_parts(run.url)) == []
    assert do(run, failing(tmp_path, 4, (), full)).n_done >= 1
    assert recorded(tmp_path) == names(4)


def write_much(folder: str, part: str) -> Outcome:
    files.write_bytes(f"{folder}/out/{part}", b"x" * 300_000)
    return Outcome((f"out/{part}",), rows=1)


def test_a_file_system_that_fills_up_leaves_no_torn_file(tmp_path):
    """A real ENOSPC where a small file system may be mounted, else a limit on the size of files."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limit[1]))

        def undo():
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
            signal.signal(signal.SIGXFSZ, before)
    else:

        def undo():
            subprocess.run(["mount", "-o", "remount,size=8m", str(folder)], check=True)

    stage = Stage("slow", names(5), partial(write_much, str(folder)), INPUTS)
    run = make_run(folder, **QUICK)
    try:
        try:
            with pytest.raises(StageFailedError, match="the disk is full"):
                do(run, stage)
            assert not list(folder.rglob(".partial-*"))
            assert all(p.stat().st_size == 300_000 for p in (folder / "out").glob("*"))
        finally:
            undo()
        do(run, stage)
        assert recorded(folder) == names(5)
    finally:
        subprocess.run(["umount", str(folder)], capture_output=True, check=False)


@pytest.mark.parametrize("damage", ["empty", "torn"])
def test_a_file_that_a_power_cut_emptied_or_tore_is_made_again(tmp_path, damage):
    run, stage = make_run(tmp_path), stage_of(tmp_path, 4, 0)
    do(run, stage)
    for victim in (tmp_path / "out" / "part-001", tmp_path / "records" / "slow" / "part-002.json"):
        content = victim.read_bytes()
        victim.write_bytes(b"" if damage == "empty" else content[: len(content) // 2])
    assert do(run, stage).n_done == 2
    assert (tmp_path / "out" / "part-001").read_text() == "part-001"


def test_a_process_killed_between_a_parts_file_and_its_record_does_the_part_again(tmp_path, monkeypatch):
    run, stage = make_run(tmp_path), stage_of(tmp_path, 3, 0)

    def crash(*_arguments, **_named):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(blocks, "commit", crash)
        with pytest.raises(KeyboardInterrupt):
            do(run, stage)
    assert (tmp_path / "out" / "part-000").exists()
    assert recorded(tmp_path) == []
    assert do(run, stage).n_done == 3


def test_leftovers_of_a_dead_writer_go_when_the_part_is_done(tmp_path):
    run, stage = make_run(tmp_path), stage_of(tmp_path, 2, 0)
    for folder, name in (("out", "part-000"), ("records/slow", "part-000.json")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / f".partial-{name}-0123").write_text("half")
    do(run, stage)
    assert not list(tmp_path.rglob(".partial-*"))


def test_files_dated_in_the_future_or_the_past_change_nothing(tmp_path):
    run, stage = make_run(tmp_path), stage_of(tmp_path, 4, 0)
    do(run, stage)
    for number, path in enumerate(sorted(tmp_path.rglob("*"))):
        os.utime(path, (4e9, 4e9) if number % 2 else (1, 1))
    assert do(run, stage).n_found == 4


def test_a_second_run_on_one_folder_is_refused_and_an_array_is_not(tmp_path):
    with run_held(str(tmp_path), shared=False):
        for shared in (False, True):
            with (
                pytest.raises(RunBusyError, match="another process works on"),
                run_held(str(tmp_path), shared=shared),
            ):
                pass
    with run_held(str(tmp_path), shared=True), run_held(str(tmp_path), shared=True):
        pass


def test_a_second_run_that_is_refused_leaves_the_configuration_of_the_first(tmp_path):
    tree = {"name": "t", "tissue": {}, "run": str(tmp_path / "run")}
    with run_held(tree["run"], shared=False):
        run = open_run(RunConfig(**tree, seed=1))
        with pytest.raises(RunBusyError):
            run_one(RunConfig(**tree, seed=2), "tissue")
        assert saved_config(run.url).seed == 1


def test_a_run_that_cannot_begin_leaves_no_folder(tmp_path):
    volume = {"segmentation": f"precomputed://file://{tmp_path}/none", "voxel_size_nm": [8, 8, 8]}
    with pytest.raises((ConfigError, MissingDataError, DataError)):
        run_one(RunConfig(name="t", run=str(tmp_path / "run"), volume=volume), "nodes")
    assert not (tmp_path / "run").exists()
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ConfigError, match="cannot be made"),
        run_held(str(tmp_path / "file" / "run"), shared=False),
    ):
        pass


def test_a_signal_that_python_dropped_is_heard_when_it_comes_again_much_later(monkeypatch):
    with stops_heard() as heard:
        with pytest.raises(StopAskedError):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)  # while it stops
        monkeypatch.setattr("pipelines.signals._AGAIN_S", 0.0)
        with pytest.raises(StopAskedError):
            signal.raise_signal(signal.SIGTERM)
    assert heard == [signal.SIGTERM] * 3


def test_of_two_runs_started_at_once_one_does_all_and_the_other_says_so(tmp_path):
    first = start(tmp_path, kind="none", part_s=1.5)
    wait_until(lambda: recorded(tmp_path / "run"), "the first has begun")
    status, told = finished(start(tmp_path, kind="none"))
    assert status == 1
    assert "another process works on" in told
    assert finished(first)[0] == 0
    assert attempts(tmp_path / "run") == dict.fromkeys(names(12), 1)


def test_processes_without_a_lock_between_them_do_no_harm(tmp_path):
    """As on an object store: two shares that overlap entirely."""
    both = [start(tmp_path, "--part", "0", "--of", "2", kind="none", wait_s=2) for _ in range(2)]
    assert [finished(process)[0] for process in both] == [75, 75]
    assert finished(start(tmp_path, kind="none"))[0] == 0
    assert recorded(tmp_path / "run") == names(12)
    assert all((tmp_path / "run" / "out" / p).read_text() == p for p in names(12))


def test_a_folder_that_cannot_be_written_is_told_and_odd_names_are_no_fault(tmp_path):
    folder = tmp_path / ("ö " + "n" * 200)
    folder.mkdir()
    assert do(make_run(folder), stage_of(folder, 2, 0)).n_done == 2
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises((OSError, StageFailedError)):
        do(make_run(loop, **QUICK), stage_of(loop, 2, 0))


def test_a_stage_without_parts_is_done(tmp_path):
    assert do(make_run(tmp_path), stage_of(tmp_path, 0, 0)).n_done == 0


def test_parts_of_another_configuration_are_refused(tmp_path):
    run, stage = make_run(tmp_path), stage_of(tmp_path, 2, 0)
    do(run, stage)
    with pytest.raises(RunMismatchError, match="volume"):
        do(run, Stage("slow", stage.parts, stage.work, {"volume": "v2"}))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("kind", ["none", "local"])
def test_a_signal_of_a_batch_system_ends_with_75_and_the_rerun_does_what_is_missing(tmp_path, number, kind):
    process = start(tmp_path, n_parts=30, kind=kind, memory_gb=1)
    wait_until(lambda: recorded(tmp_path / "run") or process.poll() is not None, "some parts are done")
    process.send_signal(number)
    status, told = finished(process)
    assert status == 75, told
    assert f"stopped: {number.name}" in told
    assert "Traceback" not in told
    done = recorded(tmp_path / "run")
    assert 0 < len(done) < 30
    assert finished(start(tmp_path, n_parts=30, part_s=0, kind="none"))[0] == 0
    tried = attempts(tmp_path / "run")
    assert all(tried[part] == 1 for part in done)


def test_a_main_process_killed_at_random_times_ends_with_the_same_files(tmp_path):
    for pause in (0.1, 0.4, 0.2):
        process = start(tmp_path, part_s=0.05, kind="none")
        wait_until((tmp_path / "run" / "attempts").exists, "it works")
        time.sleep(pause)
        os.killpg(process.pid, signal.SIGKILL)
        finished(process)
    assert finished(start(tmp_path, kind="none", part_s=0))[0] == 0
    do(make_run(tmp_path / "other"), stage_of(tmp_path / "other", 12, 0))
    ours, theirs = (
        {p.name: p.read_bytes() for p in (tmp_path / folder).rglob("*") if p.parent.name in ("out", "slow")}
        for folder in ("run", "other")
    )
    assert ours == theirs


def test_a_part_that_always_kills_its_worker_is_set_aside_and_its_neighbours_are_not_blamed(tmp_path):
    run = make_run(tmp_path, **LOCAL, worker_deaths=2)
    stage = Stage("slow", names(8), partial(die_on, str(tmp_path), "part-003"), INPUTS)
    with pytest.raises(StageFailedError, match=r"1 of 8 parts .*: the worker on part-003 died: killed"):
        do(run, stage)
    assert attempts(tmp_path) == {p: 2 if p == "part-003" else 1 for p in names(8)}
    assert failure(run.url, "slow", "part-003")["error"] == "LostWorkerError"


def freeze_once(folder: str, part: str) -> Outcome:
    outcome = write_slowly(folder, 0.1, part)
    frozen = Path(folder) / "frozen"
    if part == "part-001" and not frozen.exists():
        frozen.write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGSTOP)
    return outcome


def test_a_worker_that_hangs_is_given_up_and_its_part_done_elsewhere(tmp_path):
    run = make_run(tmp_path, **LOCAL, worker_ttl_s=15)
    try:
        do(run, Stage("slow", names(5), partial(freeze_once, str(tmp_path)), INPUTS))
    finally:
        pid = int((tmp_path / "frozen").read_text())
        if psutil.pid_exists(pid):
            os.kill(pid, signal.SIGKILL)
    assert recorded(tmp_path) == names(5)
    assert attempts(tmp_path)["part-001"] == 2


def test_nothing_listens_beyond_loopback(tmp_path):
    run = make_run(tmp_path, **LOCAL)
    with Executors(run.config.cluster) as executors:
        run_stage(run, stage_of(tmp_path, 2, 0), executors)
        own = psutil.Process()
        listening = {
            connection.laddr.ip
            for process in (own, *own.children(recursive=True))
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }
    assert listening == {"127.0.0.1"}


@pytest.fixture
def scheduler(tmp_path):
    """A Dask scheduler with one worker, as someone else would start them; answers address and process."""
    dask = str(Path(sys.executable).parent / "dask")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": TOP}
    quiet["env"] = os.environ | {"PYTHONPATH": str(TOP)}
    told = tmp_path / "scheduler.json"
    command = [dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    first = subprocess.Popen([*command, "--scheduler-file", str(told)], **quiet)
    wait_until(told.exists, "the scheduler is up")
    command = [dask, "worker", "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1"]
    second = subprocess.Popen([*command, "--scheduler-file", str(told)], **quiet)
    yield json.loads(told.read_text())["address"], first
    for process in (second, first):
        process.terminate()
        process.wait(timeout=30)


def test_a_scheduler_that_dies_is_told_and_finished_parts_are_kept(tmp_path, scheduler):
    address, process = scheduler
    run = make_run(tmp_path, kind="scheduler", address=address, **QUICK)
    assert do(run, stage_of(tmp_path, 2, 0)).n_done == 2
    with Executors(run.config.cluster) as executors:
        executors.cluster()
        process.kill()
        with pytest.raises(UnreachableError, match="scheduler is gone"):
            run_stage(run, stage_of(tmp_path, 6, 0.1), executors)
    assert do(make_run(tmp_path), stage_of(tmp_path, 6, 0)).n_found >= 2


def test_a_signal_while_an_error_is_told_is_a_stop_too(monkeypatch, capsys):
    def interrupted(_error):
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("sys.argv", ["segclr", "status", "no such run"])
    monkeypatch.setattr("pipelines.cli._one_line", interrupted)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 75
    assert capsys.readouterr().err == "segclr: stopped by SIGTERM; the same command goes on from here\n"
