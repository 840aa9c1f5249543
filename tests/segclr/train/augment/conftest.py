"""Configurations and cubes that the tests of augmentation share."""

import numpy as np
import pytest
import torch

from segclr.config import AugmentConfig

EVERYTHING = {
    "shift_vx": 2,
    "blur_sd_vx": 0.8,
    "noise_sd": 0.1,
    "section_contrast": 0.3,
    "section_brightness": 0.1,
    "section_step": 0.5,
    "missing_section": 0.2,
    "erode_vx": 1,
    "drop_probability": 0.5,
    "drop_distance": (0.1, 0.6),
}
NOTHING = {
    "axis_permutations": False,
    "flips": False,
    "contrast": (1, 1),
    "brightness": (0, 0),
    "log2_gamma": (0, 0),
}


@pytest.fixture
def everything():
    return AugmentConfig(**EVERYTHING)


@pytest.fixture
def plain():
    """Makes a configuration that changes nothing but what is given."""
    return lambda **keys: AugmentConfig(**{**NOTHING, **keys})


@pytest.fixture
def cubes():
    """12 cubes of random greys, a third of each background."""
    values = np.random.default_rng(0).integers(1, 256, (12, 9, 9, 9), dtype=np.uint8)
    values[:, :, :3] = 0
    values[:, 5, 6, 2] = 0
    return torch.from_numpy(values)


@pytest.fixture
def draw():
    from segclr.train.augment import draw_views, view_keys

    def of(config, n, *, seed=0, voxel_size_nm=(20.0, 20.0, 20.0), margin_vx=2):
        keys = view_keys(seed, np.arange(-(-n // 2)))[:n]
        return draw_views(config, keys, voxel_size_nm=voxel_size_nm, margin_vx=margin_vx)

    return of
