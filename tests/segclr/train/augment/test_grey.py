"""Grey values of views."""

import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from segclr.config import AugmentConfig
from segclr.train.augment.grey import add_noise, blur, grey_tables

ONE = torch.ones(1, 1)


def test_tables_follow_the_published_formula(plain, draw):
    grey = draw(plain(contrast=(1.2, 1.2), brightness=(-0.1, -0.1), log2_gamma=(0.5, 0.5)), 1).grey
    values = torch.arange(256).double() / 255
    wanted = (1.2 * values - 0.1).clip(0, 1) ** (2**0.5)
    wanted[0] = 0
    assert torch.allclose(grey_tables(grey, gains=ONE, offsets=0 * ONE)[0, 0].double(), wanted, atol=1e-6)


def test_a_section_scales_contrast_and_adds_to_brightness(plain, draw):
    grey = draw(plain(contrast=(0.8, 0.8), brightness=(0.1, 0.1)), 1).grey
    tables = grey_tables(grey, gains=torch.tensor([[1.0, 1.5]]), offsets=torch.tensor([[0.0, -0.2]]))
    assert tables[0, 0, 100] == pytest.approx(0.8 * 100 / 255 + 0.1)
    assert tables[0, 1, 100] == pytest.approx(0.8 * 1.5 * 100 / 255 + 0.1 - 0.2)
    assert (tables[:, :, 0] == 0).all()


def test_the_published_ranges_are_filled_evenly(draw):
    grey = draw(AugmentConfig(), 4000).grey
    assert stats.kstest(grey.contrast, stats.uniform(0.75, 0.5).cdf).pvalue > 1e-4
    assert stats.kstest(grey.brightness, stats.uniform(-0.25, 0.5).cdf).pvalue > 1e-4
    assert stats.kstest(grey.gamma.log2(), stats.uniform(-1, 2).cdf).pvalue > 1e-4


def test_the_two_views_of_a_pair_draw_independently(draw):
    parameters = draw(AugmentConfig(shift_vx=2, blur_sd_vx=1), 20_000)
    grey = parameters.grey
    numbers = torch.stack([grey.contrast, grey.brightness, grey.gamma, grey.blur_sd_vx], dim=1)
    numbers = torch.cat([numbers, parameters.placement.starts], dim=1)
    a, b = numbers.chunk(2)
    correlation = np.corrcoef(a, b, rowvar=False)[:7, 7:]
    assert np.abs(correlation).max() < 0.045  # 4.5 times the spread 1 / sqrt(10,000)


def test_blur_equals_a_normalised_gaussian_filter_within_the_mask(plain, draw):
    random = np.random.default_rng(1)
    mask = random.random((4, 11, 11, 11)) < 0.7
    grey = random.random(mask.shape).astype(np.float32) * mask
    parameters = draw(plain(blur_sd_vx=1.2), 4).grey
    in_section = torch.tensor([[False, True, True], [True, False, True], [True, True, False], [True] * 3])
    found = blur(torch.from_numpy(grey), torch.from_numpy(mask), parameters, in_section)
    for i in range(4):
        spreads = [float(parameters.blur_sd_vx[i]) * bool(s) for s in in_section[i]]
        options = {"mode": "constant", "radius": [10 if s else 0 for s in spreads]}
        total, share = (
            ndimage.gaussian_filter(values[i].astype(np.float64), spreads, **options)
            for values in (grey, mask)
        )
        wanted = np.where(mask[i], total / np.maximum(share, 1e-12), 0)
        assert np.allclose(found[i].numpy(), wanted, atol=1e-5)


def test_an_even_grey_stays_even_under_blur_up_to_the_mask(plain, draw):
    mask = torch.zeros(2, 7, 7, 7, dtype=torch.bool)
    mask[:, 2:, 1:5] = True
    found = blur(0.4 * mask, mask, draw(plain(blur_sd_vx=2), 2).grey, torch.ones(2, 3, dtype=torch.bool))
    assert torch.allclose(found, 0.4 * mask)


def test_noise_is_gaussian_of_the_spread_asked_for_and_independent(plain, draw):
    grey = draw(plain(noise_sd=0.05), 2).grey
    flat = torch.full((2, 40, 40, 40), 0.5)
    noise = add_noise(flat, torch.ones_like(flat, dtype=torch.bool), grey).double() - 0.5
    assert noise.mean().abs() < 5 * 0.05 / np.sqrt(noise.numel())
    assert noise.std() == pytest.approx(0.05, rel=0.02)
    assert stats.kstest(noise.flatten()[::10] / 0.05, "norm").pvalue > 1e-4
    neighbours = [(noise.narrow(axis, 0, 39), noise.narrow(axis, 1, 39)) for axis in range(1, 4)]
    for a, b in [(noise[0], noise[1]), *neighbours]:
        assert abs(np.corrcoef(a.flatten(), b.flatten())[0, 1]) < 4.5 / np.sqrt(a.numel())
