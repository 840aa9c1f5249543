"""What a masked cube can lose."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from segclr.train.augment.mask import lose


@pytest.fixture
def solid():
    """A thick and a thin segment, grey 100, both through the cubes' middle."""
    cubes = torch.zeros(2, 15, 15, 15, dtype=torch.uint8)
    cubes[0, 3:, :, 1:14] = 100
    cubes[1, :, 7:9, 7] = 100
    return cubes


def test_erosion_takes_off_the_surface_but_not_at_the_cubes_border(plain, draw, solid):
    parameters = draw(plain(erode_vx=2), 200).loss
    found = lose(solid[:1].expand(200, -1, -1, -1), parameters)
    for depth, cube in zip(parameters.erode_vx.tolist(), found.numpy(), strict=True):
        mask = solid[0].numpy() > 0
        if depth:
            mask = ndimage.binary_erosion(mask, iterations=depth, border_value=1)
        assert np.array_equal(cube, 100 * mask)
    assert set(parameters.erode_vx.tolist()) == {0, 1, 2}


def test_erosion_leaves_a_thin_segment_alone(plain, draw, solid):
    found = lose(solid[1:].expand(50, -1, -1, -1), draw(plain(erode_vx=3), 50).loss)
    assert (found == solid[1]).all()


def test_a_cut_keeps_its_own_side_with_the_centre_and_drops_the_other(plain, draw, solid):
    parameters = draw(plain(drop_probability=0.7, drop_distance=(0.0, 0.5)), 300).loss
    found = lose(solid[:1].expand(300, -1, -1, -1), parameters)
    places = np.indices((15, 15, 15)).reshape(3, -1).T - 7
    for i, cube in enumerate(found.numpy()):
        height = places @ parameters.normals[i].double().numpy() / 7.5
        distance = float(parameters.distances[i])
        sure = np.abs(height - distance) > 1e-5
        wanted = np.where(height <= distance, solid[0].numpy().ravel(), 0)
        assert np.array_equal(cube.ravel()[sure], wanted[sure])
        assert cube[7, 7, 7] == 100
    share = torch.isfinite(parameters.distances).double().mean()
    assert share == pytest.approx(0.7, abs=0.1)


def test_cuts_come_from_all_directions(plain, draw):
    normals = draw(plain(drop_probability=1), 4000).loss.normals.double()
    assert torch.allclose(normals.norm(dim=1), torch.ones(4000).double(), atol=1e-6)
    assert normals.mean(dim=0).abs().max() < 4.5 / np.sqrt(3 * 4000)
    assert torch.allclose(normals.T @ normals / 4000, torch.eye(3).double() / 3, atol=0.03)
