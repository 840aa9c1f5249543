import functools
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from pipelines.deadline import LostProcessError, with_deadline
from segclr.errors import SkeletonError


def test_the_answer_and_an_error_of_the_call_come_back():
    assert with_deadline(functools.partial(divmod, 17, 5), seconds=60) == (3, 2)
    with pytest.raises(SkeletonError, match="what was wrong"):
        with_deadline(functools.partial(fail, "what was wrong"), seconds=60)


def test_what_the_call_prints_is_no_part_of_the_answer():
    assert with_deadline(functools.partial(print, "hello"), seconds=60) is None


def test_a_large_answer_comes_back_whole():
    assert len(with_deadline(functools.partial(bytes, 5_000_000), seconds=60)) == 5_000_000


def test_c_code_that_holds_the_interpreter_is_stopped_at_the_deadline():
    before = set(psutil.Process().children(recursive=True))  # of other tests: multiprocessing's tracker
    begin = time.monotonic()
    with pytest.raises(TimeoutError, match=r"within 1\.5 s"):
        with_deadline(functools.partial(pow, 7, 10**9), seconds=1.5)  # one call into C, minutes long
    assert time.monotonic() - begin < 30
    assert set(psutil.Process().children(recursive=True)) <= before


def test_a_process_that_dies_is_told_with_its_status():
    with pytest.raises(LostProcessError, match="status -9"):
        with_deadline(functools.partial(die), seconds=60)


def test_the_child_ends_when_its_parent_is_killed():
    code = "import functools, time; from pipelines.deadline import with_deadline; "
    code += "with_deadline(functools.partial(time.sleep, 300), seconds=300)"
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        children = []
        while not children:
            children = psutil.Process(parent.pid).children()
            time.sleep(0.05)
        time.sleep(1)
        parent.kill()
    gone, alive = psutil.wait_procs(children, timeout=30)
    assert (len(gone), alive) == (1, [])


def fail(message):
    raise SkeletonError(message)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_child_process_of_the_call_prints_is_no_part_of_the_answer():
    assert with_deadline(functools.partial(os.system, "echo hello"), seconds=60) == 0


def test_a_signal_before_the_wait_ends_the_child_too(monkeypatch):
    class Interrupted(threading.Thread):
        def start(self):
            is_reader = self._target.__name__ == "_communicate"  # a thread that has ended forgets it
            super().start()
            if is_reader:
                raise KeyboardInterrupt

    monkeypatch.setattr("pipelines.deadline.threading.Thread", Interrupted)
    before = set(psutil.Process().children(recursive=True))
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        with_deadline(functools.partial(time.sleep, 200), seconds=300)
    assert time.monotonic() - begin < 60
    assert set(psutil.Process().children(recursive=True)) <= before
