"""What to begin with on a volume that nobody has run: voxel size, cube, dust, node spacing, pair distance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from segclr.errors import ConfigError
from segclr.geometry import VoxelSize

__all__ = ["Suggestion", "suggest"]

_PUBLISHED_VX = 129
_PUBLISHED_NM = 32.0
"""Cubes of the paper: 129 voxels of 32 nm, 4.1 um (Dorkenwald, Li et al. 2023)."""

_COARSEST_NM = 64.0
"""Beyond this, vesicles (40 nm) and microtubules are long gone, and mitochondria go."""

_LARGEST_SHARE = 2 / 3
"""Of the volume's edges that a cube may take; in a block of 2.5 um, 1.64 um were best (docs/fib25.md)."""

_FEWEST_VX = 9
_DUST_UM3 = 0.04
"""1000 voxels of 32 x 32 x 40 nm, the default of ``skeletons.min_segment_vx``."""

_DUST_SHARE = 2 / 25
"""Of the shortest edge: 200 nm in a block of 2.5 um (docs/fib25.md)."""

_LONGEST_PAIR_NM = 150_000.0
_WIDEST_SPACING_NM = 1500.0


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """Values to begin with.

    Attributes:
        voxel_size_nm: (x, y, z).
        downsample: whether that size is not stored, so that a finer scale is reduced on the fly.
        cube_vx: edge of a cube, odd, so that one voxel is its centre.
        min_segment_vx: voxels of a segment below which it is dust.
        spacing_nm: of nodes, along the skeleton.
        max_distance_nm: of a pair, along the skeleton.
    """

    voxel_size_nm: VoxelSize
    downsample: bool
    cube_vx: int
    min_segment_vx: int
    spacing_nm: float
    max_distance_nm: float

    @property
    def cube_um(self) -> tuple[float, float, float]:
        """What a cube shows, (x, y, z)."""
        x, y, z = (self.cube_vx * size / 1000 for size in self.voxel_size_nm)
        return (x, y, z)


def suggest(
    stored_nm: Sequence[VoxelSize], size_um: tuple[float, float, float], *, most_vx: int = _PUBLISHED_VX
) -> Suggestion:
    """Choose from what a volume's metadata tell.

        cube      as the paper's, 4.1 um, but at most two thirds of an edge of the volume
        voxel     cube / most_vx, within 32 to 64 nm, as whole multiples of the finest stored one
        dust      0.04 um^3, but at most a cube of 2/25 of the shortest edge: small volumes hold small pieces
        spacing   1500 nm, but at most a tenth of the shortest edge
        pairs     150 um, but at most 0.6 of the shortest edge: short volumes cut their cells into pieces

    Args:
        stored_nm: voxel sizes (x, y, z) of the stored scales, finest first.
        size_um: edges (x, y, z) of the volume.
        most_vx: largest edge of a cube that can be afforded: 129 with a GPU, some 40 on a few CPU cores.

    Raises:
        ConfigError: there is no scale, an edge is not above 0, or the cube would have less than 9 voxels.

    Example:
        >>> suggest([(10, 10, 10)], (2.5, 2.5, 2.5), most_vx=41).cube_um
        (1.64, 1.64, 1.64)
    """
    if not stored_nm or min(size_um) <= 0 or most_vx < 1:
        msg = (
            f"a suggestion needs a stored scale, edges above 0 and most_vx of 1 or more; got "
            f"{len(stored_nm)} scales, {size_um} um, {most_vx} voxels"
        )
        raise ConfigError(msg)
    shortest_nm = 1000 * min(size_um)
    field_nm = min(_PUBLISHED_VX * _PUBLISHED_NM, _LARGEST_SHARE * shortest_nm)
    wanted_nm = min(max(field_nm / most_vx, _PUBLISHED_NM), _COARSEST_NM)
    x, y, z = (s * max(1, round(wanted_nm / s)) for s in stored_nm[0])
    voxel_nm = (float(x), float(y), float(z))
    fitting = [_LARGEST_SHARE * 1000 * edge / s for edge, s in zip(size_um, voxel_nm, strict=True)]
    edge_vx = math.floor(min(most_vx, _PUBLISHED_VX * _PUBLISHED_NM / min(voxel_nm), *fitting))
    dust_um3 = min(_DUST_UM3, (_DUST_SHARE * min(size_um)) ** 3)
    if edge_vx < _FEWEST_VX:
        msg = (
            f"a cube would have {edge_vx} voxels of {voxel_nm} nm, too few to see anything ({_FEWEST_VX} are "
            f"allowed): the volume of {size_um} um is too small, or most_vx ({most_vx})"
        )
        raise ConfigError(msg)
    return Suggestion(
        voxel_size_nm=voxel_nm,
        downsample=not any(
            all(math.isclose(a, b, rel_tol=1e-3) for a, b in zip(size, voxel_nm, strict=True))
            for size in stored_nm
        ),
        cube_vx=edge_vx - (edge_vx + 1) % 2,
        min_segment_vx=max(1, round(dust_um3 * 1e9 / math.prod(voxel_nm))),
        spacing_nm=min(_WIDEST_SPACING_NM, _round_down(shortest_nm / 10)),
        max_distance_nm=min(_LONGEST_PAIR_NM, _round_down(0.6 * shortest_nm)),
    )


def _round_down(value_nm: float) -> float:
    """To two digits: more would pretend to precision."""
    unit = 10.0 ** (math.floor(math.log10(value_nm)) - 1)
    return math.floor(value_nm / unit + 1e-9) * unit
