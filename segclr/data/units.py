"""Lengths in nanometres: the units that OME-Zarr and N5 files name."""

from __future__ import annotations

from segclr.errors import VolumeError

__all__ = ["nm_per_unit"]

_NM = {
    "picometer": 1e-3,
    "angstrom": 0.1,
    "nanometer": 1.0,
    "micrometer": 1e3,
    "millimeter": 1e6,
    "centimeter": 1e7,
    "meter": 1e9,
}
_SHORT = {"pm": "picometer", "Å": "angstrom", "nm": "nanometer", "um": "micrometer", "µm": "micrometer"}
_SHORT |= {"μm": "micrometer", "mm": "millimeter", "cm": "centimeter", "m": "meter"}


def nm_per_unit(unit: object, *, what: str) -> float:
    """Nanometres of one unit of length.

    >>> nm_per_unit("micrometer", what="axis x")
    1000.0

    Raises:
        VolumeError: it is no unit of length, or none is given.
    """
    name = _SHORT.get(str(unit), str(unit))
    if name not in _NM:
        given = f"the unit {unit!r}" if unit else "no unit"
        msg = f"{what} has {given}; allowed are {', '.join(_NM)}"
        raise VolumeError(msg)
    return _NM[name]
