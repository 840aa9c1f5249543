import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from segclr.store.keys import Comparison, compare_keys, find_keys, keys_of

KEYS = st.tuples(st.sampled_from([1, 2**53 + 1, 2**53 + 2, 2**64 - 1]), st.integers(0, 3))


def table(rows):
    return keys_of(
        {
            "segment_id": np.array([s for s, _ in rows], dtype=np.uint64),
            "node_id": np.array([n for _, n in rows], dtype=np.uint32),
        }
    )


@given(st.sets(KEYS), st.lists(KEYS))
def test_missing_doubled_and_foreign_keys_are_counted(wanted, found):
    got = compare_keys(table(sorted(wanted, reverse=True)), table(found))
    assert got == Comparison(
        len(wanted),
        len(found),
        len(wanted - set(found)),
        len(found) - len(set(found)),
        len(set(found) - wanted),
    )
    assert got.is_equal == (sorted(found) == sorted(wanted))


@given(st.sets(KEYS), st.lists(KEYS))
def test_rows_of_keys_are_found_or_told_absent(there, wanted):
    ascending = sorted(there)
    rows = find_keys(table(ascending), table(wanted))
    assert rows.tolist() == [ascending.index(k) if k in there else -1 for k in wanted]


def test_comparisons_of_parts_add_up():
    assert Comparison(1, 2, 3, 4, 5) + Comparison(10, 20, 30, 40, 50) == Comparison(11, 22, 33, 44, 55)
