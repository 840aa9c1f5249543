"""Work with a deadline: in a fresh process, which can be stopped whatever it does.

A signal or a thread cannot stop C code; ending its process can. ``python -m pipelines.deadline`` reads a
pickled call from its input, and writes the pickled answer or error to its output. It ends by itself when
whoever started it is gone.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import BinaryIO, TypeVar

from segclr.errors import SegclrError

__all__ = ["LostProcessError", "with_deadline"]

Answer = TypeVar("Answer")


class LostProcessError(SegclrError, RuntimeError):
    """The process died without an answer: killed from outside, or out of memory."""


def with_deadline(call: Callable[[], Answer], *, seconds: float) -> Answer:
    """The answer of a picklable call, or its error.

    Raises:
        TimeoutError: there was none in time; the process is ended.
        LostProcessError: the process died.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    with subprocess.Popen(
        [sys.executable, "-m", "pipelines.deadline"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    ) as process:
        # The input stays open until the answer is there: its end tells the child that nobody waits.
        answers: list[bytes] = []
        reader = threading.Thread(target=_communicate, args=(process, pickle.dumps(call), answers))
        try:
            reader.start()
            reader.join(seconds)
            late = reader.is_alive()
        finally:
            process.kill()
            if reader.ident is not None:  # a signal may come before it starts
                reader.join()
    if late:
        msg = f"no answer within {seconds:g} s"
        raise TimeoutError(msg)
    answer, complaints = answers
    if not answer:
        last = "".join(complaints.decode(errors="replace").strip().splitlines()[-1:])
        msg = f"the process ended with status {process.returncode} and no answer: {last or 'it said nothing'}"
        raise LostProcessError(msg)
    good, value = pickle.loads(answer)
    if not good:
        raise value
    return value


def _communicate(process: subprocess.Popen[bytes], call: bytes, answers: list[bytes]) -> None:
    assert process.stdin
    assert process.stdout
    assert process.stderr
    complaints: list[bytes] = []
    errors: BinaryIO = process.stderr  # type: ignore[assignment]
    listener = threading.Thread(target=lambda: complaints.append(errors.read()))
    listener.start()
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(len(call).to_bytes(8, "little") + call)
        process.stdin.flush()
    answer = process.stdout.read()
    process.wait()
    listener.join()
    answers += [answer, complaints[0]]


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def _main() -> None:
    call = pickle.loads(sys.stdin.buffer.read(int.from_bytes(sys.stdin.buffer.read(8), "little")))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries and their child processes print is no answer
    sys.stdout = sys.stderr
    try:
        answer = (True, call())
    except Exception as error:  # noqa: BLE001  it is raised again where the answer is awaited
        answer = (False, error)
    answers.write(pickle.dumps(answer))
    answers.flush()
    os._exit(0)


if __name__ == "__main__":
    _main()
