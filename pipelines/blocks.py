"""The block runner: does the parts of a stage that are not done, each at least once, and counts what failed.

One part a worker is handed out at a time, so that a stage of a million parts costs no more memory than one
of ten. A part that fails is tried again after a while (``retry.py``); then it is set aside with its error
and the rest goes on. Where a stage can do without it, something stands in for it and the run goes on too.
Since every part writes whole files with the same bytes each time and its record last, a run may be killed at
any moment and started again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from pipelines.array_wait import wait_for_others
from pipelines.cluster import Executor, Executors
from pipelines.lost import LostPart, forget_later, is_used, lost_parts
from pipelines.progress import Progress, console
from pipelines.records import Outcome, commit, fail, forget_failure, is_done, note_total, read_record
from pipelines.retry import ErrorKind, deaths_allowed, delay_s, error_kind, most_attempts
from pipelines.run import Run
from pipelines.waiting import Waiting
from segclr.errors import StageFailedError

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
        without: writes what stands in for a part that is set aside, and counts ``lost_nodes``; None where
            later stages cannot do without any part.
    """

    name: str
    parts: Sequence[str]
    work: Work
    inputs: Mapping[str, str]
    alone: bool = False
    without: Work | None = None


@dataclass(frozen=True)
class Summary:
    """What became of a stage: parts done now, parts found done, and parts the run goes on without."""

    stage: str
    n_done: int
    n_found: int
    lost: tuple[LostPart, ...] = ()


@dataclass(frozen=True)
class _Job:
    """The work on a part and its commit, as one call on a worker."""

    run_url: str
    stage: Stage

    def __call__(self, part: str) -> int:
        url, name, inputs = self.run_url, self.stage.name, self.stage.inputs
        before = read_record(url, name, part)
        if before is not None and before.failed is None and is_done(url, name, part, inputs=inputs):
            return before.rows  # another process on this folder was quicker
        outcome = self.stage.work(part)
        stood_in = read_record(url, name, part)  # it may have been given up, and set aside, meanwhile
        if stood_in is not None and stood_in.failed is not None:
            forget_later(url, name)
        commit(url, name, part, outcome, inputs=inputs)
        return outcome.rows


def run_stage(run: Run, stage: Stage, executors: Executors) -> Summary:
    """Do what is missing of a stage: of this process's share, and wait for the shares of others.

    Raises:
        RunMismatchError: parts found were made from other inputs.
        AccessDeniedError: a server refuses; the stage stops at once.
        StageFailedError: parts failed for good and the run cannot go on without them; all others are done.
        UnfinishedError: the parts of other processes did not come in time.
    """
    note_total(run.url, stage.name, len(stage.parts))
    mine = executors.share.mine(stage.parts)
    missing = [part for part in mine if not _is_final(run, stage, part)]
    n_found = len(mine) - len(missing)
    if missing:
        executor = executors.alone() if stage.alone else executors.cluster()
        failed = _Handout(run, stage, executor, total=len(mine)).work_on(missing)
        if failed:
            raise StageFailedError(_describe(stage, failed)) from next(iter(failed.values()))
    elif mine:
        console().print(f"{stage.name}: all {n_found} parts found done", markup=False)
    if not executors.share.is_whole:
        wait_for_others(run, stage.name, stage.parts, inputs=stage.inputs)
    lost = tuple(lost_parts(run.url, stage.name)) if stage.without is not None else ()
    _check_lost(run, stage, lost)
    return Summary(stage.name, len(missing), n_found, lost)


def _is_final(run: Run, stage: Stage, part: str) -> bool:
    """Whether a part is left as it is; one that was set aside is tried again unless others build on that."""
    if not is_done(run.url, stage.name, part, inputs=stage.inputs):
        return False
    record = read_record(run.url, stage.name, part)
    if record is None or record.failed is None:
        return True
    return is_used(run.url, stage.name) and not run.config.cluster.retry_lost


@dataclass
class _Handout:
    """The parts of a stage on their way to workers and back."""

    run: Run
    stage: Stage
    executor: Executor
    total: int

    def work_on(self, missing: Sequence[str]) -> dict[str, BaseException]:
        """Do the parts; answers those that failed for good, with nothing to stand in for them."""
        job = _Job(self.run.url, replace(self.stage, parts=(), without=None))
        waiting, running = Waiting(missing), 0
        tries: dict[str, dict[ErrorKind, int]] = {}
        failed: dict[str, BaseException] = {}
        deaths = done_now = 0
        for part in missing:
            forget_failure(self.run.url, self.stage.name, part)
        with Progress(self.stage.name, total=self.total, found=self.total - len(missing)) as progress:
            while waiting or running:
                while waiting.ready() and self.executor.room() > 0:
                    self.executor.submit(job, waiting.pop())
                    running += 1
                if not running:
                    waiting.pause()
                    continue
                done = self.executor.next_done()
                if done is None:
                    progress.refresh()
                    continue
                part, result = done
                running -= 1
                if not isinstance(result, BaseException):
                    progress.advance(rows=result)
                    done_now += 1
                    continue
                kind = error_kind(result)
                count = tries.setdefault(part, {})
                count[kind] = count.get(kind, 0) + 1
                deaths += kind is ErrorKind.lost
                if count[kind] < self._allowed(kind, deaths - count.get(ErrorKind.lost, 0), done_now):
                    progress.retry(f"{part}: {result}")
                    waiting.add(part, after_s=delay_s(part, sum(count.values()), self.run.config.cluster))
                elif kind.stops:
                    self._stop(part, kind, result)
                else:
                    progress.fail()
                    if not self._stand_in(part, result):
                        failed[part] = result
        return failed

    def _allowed(self, kind: ErrorKind, deaths: int, done: int) -> int:
        config = self.run.config.cluster
        if kind is ErrorKind.lost:
            return deaths_allowed(config, deaths=deaths, done=done)
        return most_attempts(kind, config)

    def _stop(self, part: str, kind: ErrorKind, error: BaseException) -> None:
        """Every other part would meet the same."""
        if kind is ErrorKind.full:
            msg = (
                f"{self.stage.name} {part}: the disk is full ({error}). What was finished is kept; make "
                "space, and the same command goes on"
            )
            raise StageFailedError(msg) from error
        raise error

    def _stand_in(self, part: str, error: BaseException) -> bool:
        """Set a part aside; answers whether something stands in for it."""
        url, name = self.run.url, self.stage.name
        outcome = self._without(part)
        try:
            if outcome is None:
                fail(url, name, part, error)
            else:
                commit(url, name, part, outcome, inputs=self.stage.inputs, failed=error)
        except OSError as worse:
            msg = f"{name} {part} failed ({error}), and that cannot be noted: {worse}"
            raise StageFailedError(msg) from worse
        return outcome is not None

    def _without(self, part: str) -> Outcome | None:
        """What stands in for a part, unless that fails too: it may read the file that the part could not."""
        if self.stage.without is None:
            return None
        try:
            return self.stage.without(part)
        except Exception as worse:  # noqa: BLE001  the part's own error is the one to tell
            if error_kind(worse).stops:
                self._stop(part, error_kind(worse), worse)
            return None


def _check_lost(run: Run, stage: Stage, lost: Sequence[LostPart]) -> None:
    """Refuse to go on without too much of a stage."""
    allowed = min(run.config.cluster.max_failed_parts, len(stage.parts) - 1)
    if lost and len(lost) > allowed:
        shown = "; ".join(str(part) for part in lost[:3])
        more = f"; and {len(lost) - 3} more" if len(lost) > 3 else ""
        msg = (
            f"{len(lost)} of {len(stage.parts)} parts of {stage.name} failed, the rest is done; a run goes "
            f"on without {allowed} at most (cluster.max_failed_parts); the same command tries them again: "
            f"{shown}{more}"
        )
        raise StageFailedError(msg)


def _describe(stage: Stage, failed: Mapping[str, BaseException]) -> str:
    if len(stage.parts) == 1:
        return f"{stage.name} failed: {next(iter(failed.values()))}"
    shown = "; ".join(f"{part}: {error}" for part, error in list(failed.items())[:3])
    more = f"; and {len(failed) - 3} more" if len(failed) > 3 else ""
    may_pass = any(error_kind(e) is not ErrorKind.wrong for e in failed.values())
    again = "; the same command tries them again" if may_pass else ""
    return (
        f"{len(failed)} of {len(stage.parts)} parts of {stage.name} failed, the rest is done{again}: "
        f"{shown}{more}"
    )
