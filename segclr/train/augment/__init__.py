"""Random views of masked cubes: draw the parameters of every view first, then apply them as a pure function.

One file a family of changes: ``mask`` and ``growth`` (what is within the segment), ``placement`` (where and
how the view lies in the stored cube), ``grey``, ``sections``; ``draws`` has the random numbers, ``views``
puts them together. Background (0) stays 0 after each.
"""

from segclr.train.augment.draws import Draws, view_keys
from segclr.train.augment.growth import Growth, grow_mask, sample_growth
from segclr.train.augment.placement import allowed_permutations
from segclr.train.augment.views import (
    ViewParameters,
    apply_views,
    center_views,
    draw_views,
    random_views,
)

__all__ = [
    "Draws",
    "Growth",
    "ViewParameters",
    "allowed_permutations",
    "apply_views",
    "center_views",
    "draw_views",
    "grow_mask",
    "random_views",
    "sample_growth",
    "view_keys",
]
