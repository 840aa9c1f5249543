"""The stack that signal handlers run on, kept as it is while a library would change it."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["signal_stack_kept"]


class _Stack(ctypes.Structure):
    """``stack_t`` of Linux."""

    _fields_ = (("pointer", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def signal_stack_kept() -> Iterator[None]:
    """Give this thread its alternate signal stack back at the end.

    Python runs its signal handlers there (since 3.10). A library that puts its own in place and frees it
    later makes the next signal, be it Ctrl-C or the end of a child process, end the program.
    """
    if sys.platform != "linux":
        yield
        return
    before = _Stack()
    libc = ctypes.CDLL(None)
    libc.sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        libc.sigaltstack(ctypes.byref(before), None)
