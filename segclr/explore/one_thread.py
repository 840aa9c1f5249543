"""Sums in one order: with several threads their last bits, and so where a cluster ends, change."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from threadpoolctl import threadpool_limits

__all__ = ["one_thread"]


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Linear algebra and OpenMP take one thread within; numba has threads of its own and is not meant."""
    with threadpool_limits(limits=1):
        yield
