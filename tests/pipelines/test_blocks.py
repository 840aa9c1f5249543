"""The block runner: nothing lost, nothing done twice for nothing, failures set aside and told."""

import os
from functools import partial
from pathlib import Path

import pytest

from pipelines.blocks import Stage, run_stage
from pipelines.cluster import Executors
from pipelines.records import Outcome, commit, failure, is_done, read_record
from pipelines.run import Run
from segclr.config import RunConfig
from segclr.errors import AccessDeniedError, DataError, RunMismatchError, StageFailedError

PARTS = [f"part-{i}" for i in range(7)]
INPUTS = {"volume": "v1", "seed": "0"}


def make_run(folder: Path, **cluster) -> Run:
    config = RunConfig.model_validate(
        {"name": "t", "run": str(folder), "tissue": {}, "cluster": {"kind": "none", **cluster}}
    )
    return Run(str(folder), config)


def write(folder: str, part: str) -> Outcome:
    path = Path(folder) / "out" / part
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(part)
    with (Path(folder) / "attempts").open("a") as log:
        log.write(part + "\n")
    return Outcome((f"out/{part}",), rows=1)


def fail_on(folder: str, bad: tuple[str, ...], error: type[Exception], part: str) -> Outcome:
    outcome = write(folder, part)
    if part in bad:
        msg = f"{part} cannot be read"
        raise error(msg)
    return outcome


def die_once(folder: str, part: str) -> Outcome:
    outcome = write(folder, part)
    marker = Path(folder) / f"died-{part}"
    if part == "part-3" and not marker.exists():
        marker.write_text("")
        os._exit(137)
    return outcome


def run_parts(run: Run, work, inputs=INPUTS):
    with Executors(run.config.cluster) as executors:
        return run_stage(run, Stage("stage", PARTS, work, inputs), executors)


def attempts(folder: Path) -> list[str]:
    return (folder / "attempts").read_text().split()


def test_every_part_is_done_once_and_not_again(tmp_path):
    run, work = make_run(tmp_path), partial(write, str(tmp_path))
    assert run_parts(run, work).n_done == 7
    assert run_parts(run, work).n_found == 7
    assert sorted(attempts(tmp_path)) == PARTS


def test_only_a_part_whose_file_changed_is_done_again(tmp_path):
    run, work = make_run(tmp_path), partial(write, str(tmp_path))
    run_parts(run, work)
    (tmp_path / "out" / "part-2").write_text("part-X")
    (tmp_path / "out" / "part-5").unlink()
    (tmp_path / "records" / "stage" / "part-6.json").write_text("{")
    assert run_parts(run, work).n_done == 3
    assert sorted(attempts(tmp_path)[7:]) == ["part-2", "part-5", "part-6"]


def test_a_part_that_keeps_failing_is_set_aside_and_the_rest_is_done(tmp_path):
    run = make_run(tmp_path, retries=2)
    with pytest.raises(StageFailedError, match=r"1 of 7 parts .* part-4: part-4 cannot be read"):
        run_parts(run, partial(fail_on, str(tmp_path), ("part-4",), OSError))
    assert attempts(tmp_path).count("part-4") == 3
    done = [p for p in PARTS if is_done(run.url, "stage", p, inputs=INPUTS)]
    assert done == [p for p in PARTS if p != "part-4"]
    assert "cannot be read" in (tmp_path / "records" / "stage" / "part-4.failed").read_text()
    assert run_parts(run, partial(write, str(tmp_path))).n_done == 1
    assert not (tmp_path / "records" / "stage" / "part-4.failed").exists()


def test_wrong_data_is_not_tried_again(tmp_path):
    run = make_run(tmp_path, retries=5)
    with pytest.raises(StageFailedError):
        run_parts(run, partial(fail_on, str(tmp_path), ("part-1",), DataError))
    assert attempts(tmp_path).count("part-1") == 1


def test_parts_made_from_other_inputs_are_refused_with_the_input_named(tmp_path):
    run, work = make_run(tmp_path), partial(write, str(tmp_path))
    run_parts(run, work)
    with pytest.raises(RunMismatchError, match="volume"):
        run_parts(run, work, {**INPUTS, "volume": "v2"})


def test_a_worker_that_dies_within_a_part_costs_only_that_attempt(tmp_path):
    run = make_run(tmp_path, kind="local", workers=2, memory_gb=1)
    assert run_parts(run, partial(die_once, str(tmp_path))).n_done == 7
    assert (tmp_path / "died-part-3").exists()
    assert all(is_done(run.url, "stage", p, inputs=INPUTS) for p in PARTS)


def test_a_record_holds_nothing_that_differs_between_two_runs(tmp_path):
    for name in ("a", "b"):
        run_parts(make_run(tmp_path / name), partial(write, str(tmp_path / name)))
    texts = [(tmp_path / n / "records" / "stage" / "part-0.json").read_bytes() for n in ("a", "b")]
    assert texts[0] == texts[1]
    record = read_record(str(tmp_path / "a"), "stage", "part-0")
    assert record is not None
    assert record.files["out/part-0"]["size"] == 6


def test_a_refusing_server_stops_the_stage_at_once(tmp_path):
    work = partial(fail_on, str(tmp_path), ("part-2",), AccessDeniedError)
    with pytest.raises(AccessDeniedError, match="part-2"):
        run_parts(make_run(tmp_path), work)
    assert attempts(tmp_path) == PARTS[:3]


def without_some(folder: str, part: str) -> Outcome:
    if part == "part-1":
        msg = "the list of its nodes cannot be read either"
        raise DataError(msg)
    return Outcome()


def test_where_what_stands_in_fails_too_the_part_is_noted_and_the_rest_is_done(tmp_path):
    run = make_run(tmp_path, max_failed_parts=3)
    work = partial(fail_on, str(tmp_path), ("part-1", "part-4"), DataError)
    stage = Stage("stage", PARTS, work, INPUTS, without=partial(without_some, str(tmp_path)))
    with (
        Executors(run.config.cluster) as executors,
        pytest.raises(StageFailedError, match="part-1 cannot be read"),
    ):
        run_stage(run, stage, executors)
    assert failure(run.url, "stage", "part-1") == {"error": "DataError", "message": "part-1 cannot be read"}
    assert read_record(run.url, "stage", "part-4").failed is not None
    assert all(is_done(run.url, "stage", part, inputs=INPUTS) for part in PARTS if part != "part-1")


def give_up_meanwhile(run_url: str, part: str) -> Outcome:
    """The part is set aside, and a later stage built on that, while a worker still has it in hand."""
    if part == "part-2":
        commit(run_url, "embed", part, Outcome(), inputs=INPUTS, failed=TimeoutError("given up"))
        commit(run_url, "compact", "shard", Outcome(), inputs={})
    return write(run_url, part)


def test_a_part_that_comes_late_after_it_was_set_aside_lets_later_stages_be_made_again(tmp_path):
    run = make_run(tmp_path)
    stage = Stage("embed", PARTS, partial(give_up_meanwhile, run.url), INPUTS)
    with Executors(run.config.cluster) as executors:
        run_stage(run, stage, executors)
    assert read_record(run.url, "embed", "part-2").failed is None
    assert read_record(run.url, "compact", "shard") is None
