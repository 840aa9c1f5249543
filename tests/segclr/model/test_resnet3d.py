"""The residual networks: shapes, channels, and what the layout must not change."""

import pytest
import torch
from torch import nn

from segclr.config import EncoderConfig
from segclr.model import ResNet3d

CONVOLUTIONS = {10: 8, 18: 16, 34: 32, 50: 48}  # on the main path of the stages: depth - 2


@pytest.mark.parametrize("depth", [10, 18, 34, 50])
@pytest.mark.parametrize("stem", ["large", "medium", "small", "patch"])
def test_every_depth_and_stem_maps_cubes_to_features(depth, stem):
    network = ResNet3d(EncoderConfig(depth=depth, width=0.125, stem=stem)).eval()
    features = network(torch.rand(2, 1, 9, 9, 9))
    assert features.shape == (2, network.n_features)
    assert torch.isfinite(features).all()


@pytest.mark.parametrize("depth", [10, 18, 34, 50])
def test_the_depth_counts_the_layers_of_the_main_path(depth):
    network = ResNet3d(EncoderConfig(depth=depth, width=0.125))
    main = [
        module
        for name, module in network.stages.named_modules()
        if isinstance(module, nn.Conv3d) and ".main." in name
    ]
    assert len(main) == CONVOLUTIONS[depth]


@pytest.mark.parametrize(("width", "wanted"), [(1.0, 512), (0.5, 256), (0.25, 128), (0.3, 152)])
def test_the_width_scales_the_channels_to_multiples_of_eight(width, wanted):
    assert ResNet3d(EncoderConfig(depth=10, width=width)).n_features == wanted


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_channels_last_changes_nothing_but_the_layout(norm):
    network = ResNet3d(EncoderConfig(depth=10, width=0.125, stem="medium", norm=norm)).eval()
    cubes = torch.rand(2, 1, 11, 11, 11)
    wanted = network(cubes)
    network.to(memory_format=torch.channels_last_3d)
    found = network(cubes.contiguous(memory_format=torch.channels_last_3d))
    assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-6)


def test_group_norm_makes_a_row_independent_of_its_batch_also_in_training():
    network = ResNet3d(EncoderConfig(depth=10, width=0.125, stem="medium", norm="group")).train()
    cubes = torch.rand(3, 1, 9, 9, 9)
    assert torch.allclose(network(cubes)[:1], network(cubes[:1]), rtol=1e-4, atol=1e-6)
