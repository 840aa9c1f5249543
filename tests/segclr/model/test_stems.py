"""The stems: what they do to edges, and folding of voxels into channels."""

import pytest
import torch

from segclr.model.stems import SpaceToDepth, stem_layers


@pytest.mark.parametrize(("kind", "edge"), [("large", 9), ("medium", 17), ("small", 33), ("patch", 9)])
def test_edges_of_a_cube_of_33_are_as_documented(kind, edge):
    stem = stem_layers(1, 8, kind=kind, norm=torch.nn.BatchNorm3d(8))
    assert stem(torch.rand(1, 1, 33, 33, 33)).shape == (1, 8, edge, edge, edge)


@pytest.mark.parametrize("edge", [4, 5])
def test_folding_puts_every_voxel_into_its_channel_and_pads_with_background(edge):
    cube = torch.rand(2, 1, edge, edge, edge)
    folded = SpaceToDepth()(cube)
    half = (edge + 1) // 2
    assert folded.shape == (2, 8, half, half, half)
    for z in range(2 * half):
        for y in range(2 * half):
            for x in range(2 * half):
                inside = max(z, y, x) < edge
                wanted = cube[:, 0, z, y, x] if inside else torch.zeros(2)
                channel = 4 * (z % 2) + 2 * (y % 2) + x % 2
                assert torch.equal(folded[:, channel, z // 2, y // 2, x // 2], wanted)


def test_folded_cubes_lie_channels_last():
    folded = SpaceToDepth()(torch.rand(2, 1, 6, 6, 6))
    assert folded.is_contiguous(memory_format=torch.channels_last_3d)


def test_folding_may_leave_z():
    cube = torch.rand(1, 2, 3, 5, 4)
    folded = SpaceToDepth((1, 2, 2))(cube)
    assert folded.shape == (1, 8, 3, 3, 2)
    for z in range(3):
        for y in range(5):
            for x in range(4):
                for c in range(2):
                    channel = 4 * c + 2 * (y % 2) + x % 2
                    assert folded[0, channel, z, y // 2, x // 2] == cube[0, c, z, y, x]
