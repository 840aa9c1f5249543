import threading

import pytest

from segclr.data.ahead import ahead


def test_items_come_in_order_and_all_of_them():
    assert list(ahead(iter(range(100)))) == list(range(100))
    assert list(ahead(iter([None, 0]))) == [None, 0]


def test_the_next_item_is_made_while_this_one_is_in_use():
    made = threading.Event()

    def items():
        yield 1
        made.set()
        yield 2

    for item in ahead(items()):
        if item == 1:
            assert made.wait(timeout=30)


def test_no_more_than_one_item_is_made_ahead():
    begun = []

    def items():
        for i in range(10):
            begun.append(i)
            yield i

    for item in ahead(items()):
        assert len(begun) <= item + 2


def test_an_error_comes_where_its_item_would_have_come():
    def items():
        yield 1
        raise OSError("gone")

    taken = ahead(items())
    assert next(taken) == 1
    with pytest.raises(OSError, match="gone"):
        next(taken)


def test_no_thread_stays_when_the_user_stops_early():
    taken = ahead(iter(range(5)))
    next(taken)
    taken.close()
    assert not any(t.name.startswith("ahead") for t in threading.enumerate())
