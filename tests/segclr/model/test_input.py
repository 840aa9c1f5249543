"""The input layer: what the first convolution sees of a masked cube."""

import torch

from segclr.model.input import CentredInput


def test_grey_is_centred_within_the_mask_and_the_background_stays_zero():
    cubes = torch.rand(3, 1, 5, 6, 7)
    cubes[cubes < 0.4] = 0
    seen = CentredInput()(cubes)
    for cube, (grey, mask) in zip(cubes[:, 0], seen, strict=True):
        inside = cube > 0
        assert torch.equal(mask, inside.float())
        torch.testing.assert_close(grey[inside], 4 * (cube[inside] - cube[inside].mean()))
        assert (grey[~inside] == 0).all()


def test_brightness_does_not_change_what_is_seen():
    cubes = torch.rand(2, 1, 4, 4, 4) * 0.5 + 0.1
    cubes[:, :, :2] = 0
    brighter = torch.where(cubes > 0, cubes + 0.2, 0)
    torch.testing.assert_close(CentredInput()(cubes), CentredInput()(brighter))


def test_an_empty_cube_gives_zeros():
    assert (CentredInput()(torch.zeros(1, 1, 4, 4, 4)) == 0).all()
