"""Windows: what they see equals what PyTorch's own layers see."""

import pytest
import torch
import torch.nn.functional as F

from segclr.model.legacy import SameConv3d
from segclr.model.skip.window import Window

EDGES = (5, 8, 9)


def windows(kernel, stride):
    yield (
        Window.same(EDGES, kernel=(kernel,) * 3, stride=(stride,) * 3),
        SameConv3d(1, 1, kernel=kernel, stride=stride),
    )
    flat = (1, kernel, kernel)
    padding = tuple(edge // 2 for edge in flat)
    layer = torch.nn.Conv3d(1, 1, flat, stride=(1, stride, stride), padding=padding)
    yield Window.padded(EDGES, kernel=flat, stride=(1, stride, stride), padding=padding), layer


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2])
def test_reached_outputs_are_those_of_a_convolution_with_ones(kernel, stride):
    active = torch.rand(2, *EDGES, generator=torch.Generator().manual_seed(0)) < 0.02
    for window, layer in windows(kernel, stride):
        torch.nn.init.ones_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
        want = layer(active[:, None].float())[:, 0] > 0
        assert torch.equal(window.reach(active), want)


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_offsets_gather_what_a_convolution_sums(kernel, stride):
    x = torch.rand(1, *EDGES, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    for window, layer in windows(kernel, stride):
        layer = layer.double()
        padded = window.pad(x, 0).flatten()
        device = torch.device("cpu")
        seen = padded[window.firsts(device)[:, None] + window.offsets(device)]
        want = layer(x[:, None]).flatten()
        assert torch.allclose(seen @ layer.weight.flatten() + layer.bias, want)


def test_padding_is_filled_with_the_value_asked_for():
    window = Window.same((2, 2, 2), kernel=(3, 3, 3), stride=(2, 2, 2))
    padded = window.pad(torch.zeros(1, 2, 2, 2), 7)
    assert torch.equal(padded, F.pad(torch.zeros(1, 2, 2, 2), (0, 1) * 3, value=7))
