"""A quantity that is not known exactly: low, expected, high."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Range"]


@dataclass(frozen=True)
class Range:
    """A quantity of at least 0; sums and products go bound by bound, as if all were high or low together.

    >>> Range(1, 2, 4) * 3 + Range.exact(1)
    Range(low=4, expected=7, high=13)
    """

    low: float
    expected: float
    high: float

    @staticmethod
    def exact(value: float) -> Range:
        """A quantity without uncertainty."""
        return Range(value, value, value)

    @property
    def is_exact(self) -> bool:
        """Whether both bounds are the expected value."""
        return self.low == self.expected == self.high

    def __add__(self, other: Range | float) -> Range:
        """The sum."""
        o = other if isinstance(other, Range) else Range.exact(other)
        return Range(self.low + o.low, self.expected + o.expected, self.high + o.high)

    def __mul__(self, other: Range | float) -> Range:
        """The product."""
        o = other if isinstance(other, Range) else Range.exact(other)
        return Range(self.low * o.low, self.expected * o.expected, self.high * o.high)

    def __truediv__(self, divisor: float) -> Range:
        """The quotient by a number above 0."""
        return Range(self.low / divisor, self.expected / divisor, self.high / divisor)

    def at_most(self, limit: float | Range) -> Range:
        """Each bound cut to a limit."""
        o = limit if isinstance(limit, Range) else Range.exact(limit)
        return Range(min(self.low, o.low), min(self.expected, o.expected), min(self.high, o.high))
