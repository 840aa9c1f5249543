"""What happens to whole sections: steps of contrast from one to the next, and missing ones.

A section is a plane of equal z of the volume, which is how tissue is cut or milled; in a view that was turned
it is a plane across whatever axis shows z.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from segclr.config import AugmentConfig
from segclr.train.augment.draws import Draws

__all__ = ["SectionLevels", "Sections", "sample_sections"]


@dataclass(frozen=True, eq=False)
class SectionLevels:
    """Every section of n stored cubes.

    Attributes:
        gains: float32 [n, sections], factor on contrast.
        offsets: float32 [n, sections], added to brightness.
        missing: bool [n, sections].
    """

    gains: torch.Tensor
    offsets: torch.Tensor
    missing: torch.Tensor


@dataclass(frozen=True, eq=False)
class Sections:
    """How the sections of n stored cubes differ; like a field of noise, told by a key for as many as needed.

    Attributes:
        keys: uint64 [n].
        contrast: largest change of the factor on contrast, from 1.
        brightness: largest change of brightness.
        step: probability that a section begins a new level of both; else the one before goes on.
        missing: probability that a section is missing.
        fill_mean: a missing section shows the view's mean grey within the mask; else it is background.
    """

    keys: NDArray[np.uint64]
    contrast: float
    brightness: float
    step: float
    missing: float
    fill_mean: bool

    @property
    def alike(self) -> bool:
        """No section can differ from another."""
        return not (self.contrast or self.brightness or self.missing)

    def levels(self, n_sections: int) -> SectionLevels:
        """The first sections of the stored cubes."""
        draws = Draws(self.keys)
        begins = draws.unit("section step", n_sections) < self.step
        begins[:, 0] = True
        level = np.maximum.accumulate(np.where(begins, np.arange(n_sections), 0), axis=1)
        gains, offsets = (
            np.take_along_axis(2 * draws.unit(name, n_sections) - 1, level, axis=1)
            for name in ("section contrast", "section brightness")
        )
        return SectionLevels(
            gains=torch.from_numpy(1 + self.contrast * gains).float(),
            offsets=torch.from_numpy(self.brightness * offsets).float(),
            missing=draws.chance("missing section", self.missing, n_sections),
        )


def sample_sections(config: AugmentConfig, draws: Draws) -> Sections:
    """Draw how sections differ."""
    return Sections(
        keys=draws.keys,
        contrast=config.section_contrast,
        brightness=config.section_brightness,
        step=config.section_step,
        missing=config.missing_section,
        fill_mean=config.missing_fill == "mean",
    )
