"""One line of a plan."""

from __future__ import annotations

from dataclasses import dataclass

from segclr.plan.range import Range

__all__ = ["Row"]


@dataclass(frozen=True)
class Row:
    """One line of a plan.

    Attributes:
        section: of the table.
        key: name, with the unit at its end where it has one.
        unit: as shown; ``B`` is shown with a decimal prefix.
        value: None where it cannot be told; ``source`` says why.
        source: where the number comes from.
    """

    section: str
    key: str
    unit: str
    value: Range | None
    source: str
