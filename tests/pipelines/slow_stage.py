"""A stage of small slow parts, as a process of its own: ``python -m tests.pipelines.slow_stage CONFIG ...``.

CONFIG is a JSON file: ``folder``, ``n_parts``, ``part_s`` and the section ``cluster``. Takes the options of
``segclr run`` that an array needs, and ends with its statuses.
"""

import argparse
import json
import os
import sys
import time
from functools import partial
from pathlib import Path

from pipelines.array import Share
from pipelines.blocks import Stage, run_stage
from pipelines.busy import run_held
from pipelines.cluster import Executors
from pipelines.records import Outcome
from pipelines.run import Run
from pipelines.signals import STATUS_UNFINISHED, StopAskedError, stops_heard
from segclr.config import RunConfig
from segclr.errors import SegclrError, UnfinishedError

INPUTS = {"volume": "v1"}


def names(n_parts: int) -> list[str]:
    return [f"part-{number:03d}" for number in range(n_parts)]


def write_slowly(folder: str, part_s: float, part: str) -> Outcome:
    """Log the attempt, take a while, write the part."""
    (Path(folder) / "attempts").mkdir(exist_ok=True)
    with (Path(folder) / "attempts" / part).open("a") as log:
        log.write(f"{os.getpid()} {os.environ.get('SLURM_JOB_ID', '')}\n")
    time.sleep(part_s)
    (Path(folder) / "out").mkdir(exist_ok=True)
    (Path(folder) / "out" / part).write_text(part)
    return Outcome((f"out/{part}",), rows=1)


def die_on(folder: str, bad: str, part: str) -> Outcome:
    """As ``write_slowly``, but one part ends its process, always."""
    outcome = write_slowly(folder, 0.05, part)
    if part == bad:
        os._exit(1)
    return outcome


def make_run(folder: Path, **cluster) -> Run:
    config = {"name": "t", "run": str(folder), "tissue": {}, "cluster": {"kind": "none", **cluster}}
    return Run(str(folder), RunConfig.model_validate(config))


def stage_of(folder: Path, n_parts: int, part_s: float, **facts) -> Stage:
    return Stage("slow", names(n_parts), partial(write_slowly, str(folder), part_s), INPUTS, **facts)


def attempts(folder: Path) -> dict[str, int]:
    return {path.name: len(path.read_text().split("\n")) - 1 for path in (folder / "attempts").iterdir()}


def _main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["run"])
    parser.add_argument("config", type=Path)
    parser.add_argument("--cluster")
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--of", type=int, default=1)
    arguments = parser.parse_args()
    told = json.loads(arguments.config.read_text())
    folder = Path(told["folder"])
    folder.mkdir(exist_ok=True)
    kind = {"kind": arguments.cluster} if arguments.cluster else {}
    run, share = make_run(folder, **told["cluster"] | kind), Share(arguments.part, arguments.of)
    stage = stage_of(folder, told["n_parts"], told["part_s"])
    with stops_heard():
        try:
            with (
                run_held(run.url, shared=not share.is_whole),
                Executors(run.config.cluster, share) as executors,
            ):
                run_stage(run, stage, executors)
        except (StopAskedError, UnfinishedError) as error:
            print(f"stopped: {error}", file=sys.stderr)  # noqa: T201
            return STATUS_UNFINISHED
        except SegclrError as error:
            print(f"error: {error}", file=sys.stderr)  # noqa: T201
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
