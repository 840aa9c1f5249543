from pipelines.waiting import Waiting


def test_parts_come_in_their_order_and_failed_ones_before_new_ones():
    waiting = Waiting(["a", "b", "c"])
    assert waiting.pop() == "a"
    waiting.add("a", after_s=0)
    assert [waiting.pop() for _ in range(3)] == ["a", "b", "c"]
    assert not waiting


def test_a_failed_part_holds_no_other_up_while_it_waits():
    waiting = Waiting(["a", "b"])
    waiting.add("failed", after_s=3600)
    assert [waiting.pop(), waiting.pop()] == ["a", "b"]
    assert len(waiting) == 1
    assert not waiting.ready()
