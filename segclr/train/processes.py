"""A training in several processes, one a device, watched by this one.

Each is started afresh (spawn), so a script that trains on several devices needs the usual
``if __name__ == "__main__":``. When one fails or dies, the others are ended: none waits for it.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any

import torch
from torch import multiprocessing

from segclr.errors import SegclrError, TrainingError
from segclr.train.session import OnStep, OnWarning, Session, Trained, run_session

__all__ = ["run_processes", "watch_processes"]


def run_processes(session: Session, *, on_step: OnStep | None, on_warning: OnWarning | None) -> Trained:
    """Train in ``train.devices`` processes of this machine; the two functions are called in this one.

    Raises:
        TrainingError: a process failed for another reason than this package's own errors, or died.
    """
    context = multiprocessing.get_context("spawn")
    n = session.train.devices
    port = _free_port()
    threads = max(1, torch.get_num_threads() // n)
    processes, pipes = [], []
    try:
        for rank in range(n):
            here, there = context.Pipe(duplex=False)
            process = context.Process(target=_run, args=(session, rank, port, threads, there))
            process.start()
            there.close()  # so that the end of the process is the end of the pipe
            processes.append(process)
            pipes.append(here)
        return watch_processes(pipes, processes, {"step": on_step, "warning": on_warning})
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()  # a collective operation does not end on a gentler signal
            process.join()


def watch_processes(
    pipes: list[Connection], processes: list[Any], listeners: dict[str, Callable[..., None] | None]
) -> Trained:
    """Hand on what the processes send until all have ended; each pipe belongs to the process beside it.

    A message is (name of a listener, its arguments), the result, or an error, which is raised.

    Raises:
        TrainingError: a process died without a word.
    """
    trained: Trained | None = None
    waiting = dict(zip(pipes, processes, strict=True))
    while waiting:
        for pipe in wait(list(waiting)):
            assert isinstance(pipe, Connection)
            try:
                message = pipe.recv()
            except EOFError:
                process = waiting.pop(pipe)
                process.join()
                if process.exitcode != 0:
                    msg = f"a process of the training died with exit code {process.exitcode}"
                    raise TrainingError(msg) from None
                continue
            if isinstance(message, Exception):
                raise message
            if isinstance(message, Trained):
                trained = message
            else:
                kind, *values = message
                listener = listeners[kind]
                if listener is not None:
                    listener(*values)
    assert trained is not None
    return trained


def _run(session: Session, rank: int, port: int, threads: int, pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches all processes: end at once, quietly
    # what Lightning reads
    os.environ.update(LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(threads)

    def on_step(step: int, steps: int) -> None:
        pipe.send(("step", step, steps))

    def on_warning(message: str) -> None:
        pipe.send(("warning", message))

    try:
        listener = on_step if rank == 0 else None
        trained = run_session(session, rank=rank, on_step=listener, on_warning=on_warning)
    except SegclrError as error:
        pipe.send(error)
    except Exception as error:  # noqa: BLE001  whatever it is, the watching process must hear of it
        failure = TrainingError(f"process {rank} of the training failed: {type(error).__name__}: {error}")
        pipe.send(failure)
    else:
        if rank == 0:
            pipe.send(trained)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
