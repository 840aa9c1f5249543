"""Taking the next item while this one is worked on."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ahead"]

Item = TypeVar("Item")


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items in the same order, each made by a thread while the one before is in use.

    One thread, and one item at a time: two are in memory. What making an item raises is raised where that
    item would have come.

    >>> list(ahead(iter([3, 1, 2])))
    [3, 1, 2]
    """
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        coming = thread.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, items, end)
            yield item  # type: ignore[misc]  # mypy cannot tell it from the end
