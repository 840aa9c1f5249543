"""Steps between sections, and missing ones."""

import numpy as np
import pytest
import torch

from segclr.train import apply_views
from segclr.train.augment import Draws, view_keys
from segclr.train.augment.sections import sample_sections


def sections(config, n=2000, *, n_sections=12):
    return sample_sections(config, Draws(view_keys(0, np.arange(n // 2)))).levels(n_sections)


def test_a_level_holds_until_the_next_step(plain):
    levels = sections(plain(section_contrast=0.2, section_step=0.25))
    steps = (levels.gains[:, 1:] != levels.gains[:, :-1]).double()
    assert steps.mean() == pytest.approx(0.25, abs=0.015)
    assert levels.gains.min() >= 0.8
    assert levels.gains.max() <= 1.2
    assert levels.gains.min() < 0.81
    assert levels.gains.max() > 1.19
    assert (levels.offsets == 0).all()


def test_sections_differ_one_from_the_next_by_default(plain):
    levels = sections(plain(section_brightness=0.1))
    assert (levels.offsets[:, 1:] != levels.offsets[:, :-1]).all()
    assert levels.offsets.abs().max() <= 0.1


def test_missing_sections_are_as_frequent_as_asked_for(plain):
    assert sections(plain(missing_section=0.1)).missing.double().mean() == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("permutation", [True, False])
def test_a_missing_section_is_a_plane_across_the_axis_that_shows_z(plain, draw, permutation):
    config = plain(missing_section=0.3, axis_permutations=permutation, flips=True)
    parameters = draw(config, 40, margin_vx=0)
    views = apply_views(torch.full((40, 6, 6, 6), 200, dtype=torch.uint8), parameters, size_vx=6)[:, 0]
    missing = parameters.sections.levels(6).missing
    for view, flips, axes, gone in zip(
        views, parameters.placement.flips, parameters.placement.permutations.tolist(), missing, strict=True
    ):
        axis = axes.index(0)
        planes = view.movedim(axis, 0)
        wanted = gone.flip(0) if flips[axis] else gone
        assert torch.equal((planes == 0).all(dim=(1, 2)), wanted)
        assert torch.equal((planes == 0).any(dim=(1, 2)), wanted)


def test_a_missing_section_filled_by_the_mean_shows_it_within_the_mask_only(plain, draw, cubes):
    parameters = draw(plain(missing_section=0.3, missing_fill="mean"), 12)
    views = apply_views(cubes, parameters, size_vx=5)[:, 0]
    missing = parameters.sections.levels(9).missing[:, 2:7]
    for stored, view, gone in zip(cubes[:, 2:7, 2:7, 2:7].float() / 255, views, missing, strict=True):
        mean = stored[stored > 0].mean()
        wanted = torch.where(gone[:, None, None] & (stored > 0), mean, stored)
        assert torch.allclose(view, wanted, atol=1e-6)
    assert missing.any()
