"""Flat strides: z is left as it is by the first of them, and kernels may be flat before the last."""

import pytest
import torch
from torch import nn

from segclr.config import STEM_STRIDES, EncoderConfig
from segclr.model import ResNet3d


def strided(network):
    """Kernels and strides of the layers on the main path that divide edges, in the order they run."""
    found = []
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv3d | nn.MaxPool3d) and "shortcut" not in name:
            stride = layer.stride if isinstance(layer.stride, tuple) else (layer.stride,) * 3
            kernel = layer.kernel_size if isinstance(layer.kernel_size, tuple) else (layer.kernel_size,) * 3
            if stride != (1, 1, 1):
                found.append((kernel, stride))
        elif name == "stem.0" and hasattr(layer, "fold"):
            found.append((layer.fold, layer.fold))
    return found


@pytest.mark.parametrize("stem", ["large", "medium", "small", "patch"])
@pytest.mark.parametrize("depth", [10, 50])
@pytest.mark.parametrize("flat", [0, 1, 2, 3])
def test_the_first_strides_leave_z(stem, depth, flat):
    config = EncoderConfig(depth=depth, width=0.125, stem=stem, flat_strides=flat)
    found = strided(ResNet3d(config))
    assert len(found) == config.n_strides == STEM_STRIDES[stem] + 3
    assert [stride for _, stride in found] == [(1, 2, 2)] * flat + [(2, 2, 2)] * (len(found) - flat)


@pytest.mark.parametrize("stem", ["large", "medium", "small", "patch"])
@pytest.mark.parametrize("flat", [1, 2, 3])
def test_edges_in_z_are_divided_by_two_for_each_stride_that_is_not_flat(stem, flat):
    config = EncoderConfig(depth=18, width=0.125, stem=stem, flat_strides=flat, flat_kernels=True)
    network = ResNet3d(config).eval()
    seen = []
    network.stages.register_forward_hook(lambda _module, _inputs, output: seen.append(output.shape[2:]))
    network(torch.rand(1, 1, 33, 33, 33))
    z = y = 33
    for number in range(config.n_strides):
        z, y = z if number < flat else -(-z // 2), -(-y // 2)
    assert tuple(seen[0]) == (z, y, y)


def test_flat_kernels_reach_along_z_only_behind_the_last_flat_stride():
    config = EncoderConfig(depth=10, width=0.125, stem="medium", flat_strides=2, flat_kernels=True)
    network = ResNet3d(config)
    depths = {
        name: layer.kernel_size[0]
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Conv3d) and layer.kernel_size[1] > 1
    }
    assert depths == {
        "stem.0": 1,  # strides in y and x
        "stages.0.0.main.0": 1,
        "stages.0.0.main.3": 1,
        "stages.1.0.main.0": 1,  # the second flat stride
        "stages.1.0.main.3": 3,
        "stages.2.0.main.0": 3,
        "stages.2.0.main.3": 3,
        "stages.3.0.main.0": 3,
        "stages.3.0.main.3": 3,
    }


def test_while_kernels_are_flat_a_section_does_not_see_its_neighbours():
    config = EncoderConfig(depth=10, width=0.125, stem="medium", stages=1, flat_strides=1, flat_kernels=True)
    network = ResNet3d(config).eval()
    sections = torch.rand(1, 1, 5, 9, 9)
    changed = sections.clone()
    changed[:, :, 3] = 0
    a, b = (network.stem(x) for x in (sections, changed))
    differing = (a != b).flatten(3).any(dim=3).any(dim=1)[0]
    assert differing.tolist() == [False, False, False, True, False]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"stem": "small", "stages": 2, "flat_strides": 2}, "small and 2 stages have 1 strides"),
        ({"flat_kernels": True}, "set flat_strides"),
        ({"family": "legacy", "flat_strides": 1}, "leave out flat_strides"),
    ],
)
def test_flat_strides_that_cannot_be_are_refused(keys, words):
    with pytest.raises(ValueError, match=words):
        EncoderConfig(**keys)
