"""A convolution of few channels: by taps it is the same sums, forwards and backwards."""

import pytest
import torch
import torch.nn.functional as F

from segclr.model.legacy import SameConv3d
from segclr.model.thin_input import ThinConv3d, convolve_by_taps


@pytest.mark.parametrize("n_in", [1, 2])
@pytest.mark.parametrize("kernel", [(7, 7, 7), (3, 5, 5), (5, 3, 1)])
@pytest.mark.parametrize("stride", [(1, 1, 1), (2, 2, 2), (1, 2, 3)])
@pytest.mark.parametrize("sides", [[(0, 0)] * 3, [(3, 3), (2, 3), (0, 1)]])
def test_by_taps_is_the_same_convolution_with_the_same_gradients(n_in, kernel, stride, sides):
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_()

    x, weight, bias = drawn(2, n_in, 7, 8, 9), drawn(3, n_in, *kernel), drawn(3)
    flat = [side for axis in reversed(sides) for side in axis]
    want = F.conv3d(F.pad(x, flat), weight, bias, stride)
    got = convolve_by_taps(x, weight, bias, stride=stride, sides=sides)
    torch.testing.assert_close(got, want)
    toward = torch.randn(want.shape, dtype=torch.float64, generator=generator)
    for mine, theirs in zip(
        torch.autograd.grad(got, (x, weight, bias), toward),
        torch.autograd.grad(want, (x, weight, bias), toward),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("kind", ["published", "own"])
def test_in_16_bits_a_device_gives_what_the_cpu_gives_in_float32(kind, device):
    torch.manual_seed(0)
    layer = (
        SameConv3d(1, 16, kernel=7, stride=2)
        if kind == "published"
        else ThinConv3d(2, 16, (3, 5, 5), stride=(1, 2, 2), padding=(1, 2, 2), bias=False)
    )
    x = torch.rand(3, layer.in_channels, 12, 13, 14)
    want = layer(x)
    with torch.autocast(device.type, torch.bfloat16):
        got = layer.to(device)(x.to(device)).float().cpu()
    assert got.shape == want.shape
    assert (got - want).norm() <= 0.01 * want.norm()
