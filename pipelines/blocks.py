"""The block runner: does the parts of a stage that are not done, each at least once, and counts what failed.

At most a few parts a worker are handed out at a time, so that a stage of a million parts costs no more
memory than one of ten. A part that fails is tried again; then it is set aside with its error and the rest
goes on. Since every part writes whole files with the same bytes each time and its record last, a run may
be killed at any moment and started again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipelines.cluster import Executors
from pipelines.progress import Progress, console
from pipelines.records import Outcome, commit, fail, is_done
from pipelines.run import Run
from segclr.errors import AccessDeniedError, ConfigError, DataError, StageFailedError

__all__ = ["Stage", "Summary", "run_stage"]

Work = Callable[[str], Outcome]


@dataclass(frozen=True)
class Stage:
    """A stage as the runner sees it.

    Attributes:
        name: of the stage; its records are filed under it.
        parts: names of the parts, in the order of work.
        work: does one part; a picklable pure function of the part's name that writes whole files.
        inputs: digests of what the work depends on, by name.
        alone: the work wants this process with all its cores, or is too small to send to a worker.
    """

    name: str
    parts: Sequence[str]
    work: Work
    inputs: Mapping[str, str]
    alone: bool = False


@dataclass(frozen=True)
class Summary:
    """What became of a stage: parts done now, and parts found done."""

    stage: str
    n_done: int
    n_found: int


@dataclass(frozen=True)
class _Job:
    """The work on a part and its commit, as one call on a worker."""

    run_url: str
    stage: Stage

    def __call__(self, part: str) -> int:
        outcome = self.stage.work(part)
        commit(self.run_url, self.stage.name, part, outcome, inputs=self.stage.inputs)
        return outcome.rows


def run_stage(run: Run, stage: Stage, executors: Executors) -> Summary:
    """Do what is missing of a stage.

    Raises:
        RunMismatchError: parts found were made from other inputs.
        AccessDeniedError: a server refuses; the stage stops at once.
        StageFailedError: parts failed for good; all others are done.
    """
    missing = [p for p in stage.parts if not is_done(run.url, stage.name, p, inputs=stage.inputs)]
    n_found = len(stage.parts) - len(missing)
    if not missing:
        console().print(f"{stage.name}: all {n_found} parts found done", markup=False)
        return Summary(stage.name, 0, n_found)
    executor = executors.alone() if stage.alone else executors.cluster()
    job = _Job(run.url, Stage(stage.name, (), stage.work, stage.inputs))
    failed: dict[str, BaseException] = {}
    attempts = dict.fromkeys(missing, 0)
    waiting, running = deque(missing), 0
    with Progress(stage.name, total=len(stage.parts), found=n_found) as progress:
        while waiting or running:
            while waiting and running < executor.window:
                executor.submit(job, waiting.popleft())
                running += 1
            part, result = executor.next_done()
            running -= 1
            if not isinstance(result, BaseException):
                progress.advance(rows=result)
                continue
            if isinstance(result, AccessDeniedError):
                raise result  # every other part would be refused as well
            attempts[part] += 1
            if attempts[part] <= run.config.cluster.retries and _worth_retrying(result):
                waiting.append(part)
                continue
            fail(run.url, stage.name, part, result)
            failed[part] = result
            progress.fail()
    if failed:
        raise StageFailedError(_describe(stage, failed)) from next(iter(failed.values()))
    return Summary(stage.name, len(missing), n_found)


def _worth_retrying(error: BaseException) -> bool:
    """Wrong data and wrong settings stay wrong; a lost worker or a failed read may not."""
    return not isinstance(error, (DataError, ConfigError))


def _describe(stage: Stage, failed: Mapping[str, BaseException]) -> str:
    if len(stage.parts) == 1:
        return f"{stage.name} failed: {next(iter(failed.values()))}"
    shown = "; ".join(f"{part}: {error}" for part, error in list(failed.items())[:3])
    more = f"; and {len(failed) - 3} more" if len(failed) > 3 else ""
    again = "; the same command tries them again" if any(map(_worth_retrying, failed.values())) else ""
    return (
        f"{len(failed)} of {len(stage.parts)} parts of {stage.name} failed, the rest is done{again}: "
        f"{shown}{more}"
    )
