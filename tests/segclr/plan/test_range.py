import pytest
from hypothesis import given
from hypothesis import strategies as st

from segclr.plan import Range

numbers = st.floats(0, 1e12)
ranges = st.tuples(numbers, numbers, numbers).map(lambda v: Range(*sorted(v)))


@given(ranges, ranges, st.floats(0.01, 1e6))
def test_low_stays_below_expected_and_expected_below_high(a, b, factor):
    for value in (a + b, a * b, a * factor, a / factor, a.at_most(b)):
        assert value.low <= value.expected <= value.high


def test_numbers_count_as_exact_ranges():
    assert Range(1, 2, 3) + 1 == Range(1, 2, 3) + Range.exact(1) == Range(2, 3, 4)
    assert (Range(1, 2, 3) * 4 / 2).high == pytest.approx(6)
    assert Range(1, 5, 9).at_most(4) == Range(1, 4, 4)
    assert Range.exact(7).is_exact
    assert not Range(1, 1, 2).is_exact
