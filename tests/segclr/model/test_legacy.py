"""The legacy network's layers against plain loops, and its padding against TensorFlow's definition."""

import numpy as np
import pytest
import torch

from segclr.config import EncoderConfig
from segclr.model.legacy import LegacyResNet3d, SameConv3d, same_padding
from segclr.model.network import build_network


@pytest.mark.parametrize("kernel", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_same_padding_centres_the_windows_and_rounds_the_size_up(kernel, stride):
    for size in range(1, 40):
        before, after = same_padding(size, kernel=kernel, stride=stride)
        n_out = len(range(0, size + before + after - kernel + 1, stride))
        assert n_out == int(np.ceil(size / stride))
        assert after - before in (0, 1)
        if before + after:  # no more than the last window needs
            assert (n_out - 1) * stride + kernel == size + before + after


def test_the_known_paddings_of_the_stem():
    assert same_padding(129, kernel=7, stride=2) == (3, 3)
    assert same_padding(128, kernel=7, stride=2) == (2, 3)


@pytest.mark.parametrize(
    ("size", "kernel", "stride"), [(6, 3, 2), (7, 3, 2), (8, 7, 2), (5, 3, 1), (6, 1, 2)]
)
def test_a_same_convolution_equals_a_loop_over_windows(size, kernel, stride):
    torch.manual_seed(0)
    convolution = SameConv3d(2, 3, kernel=kernel, stride=stride).double()
    x = torch.randn(1, 2, size, size, size, dtype=torch.float64)
    got = convolution(x).detach().numpy()[0]
    n_out = -(-size // stride)
    total = max((n_out - 1) * stride + kernel - size, 0)
    padded = np.zeros((2, *(size + total,) * 3))
    inside = slice(total // 2, total // 2 + size)
    padded[:, inside, inside, inside] = x[0].numpy()
    weight, bias = convolution.weight.detach().numpy(), convolution.bias.detach().numpy()
    for z, y, x_ in np.ndindex(n_out, n_out, n_out):
        window = padded[
            :,
            z * stride : z * stride + kernel,
            y * stride : y * stride + kernel,
            x_ * stride : x_ * stride + kernel,
        ]
        np.testing.assert_allclose(
            got[:, z, y, x_], (weight * window).sum(axis=(1, 2, 3, 4)) + bias, rtol=1e-9
        )


@pytest.mark.parametrize("size", [32, 33, 64])
def test_other_cube_sizes_go_through(size):
    network = build_network(EncoderConfig(family="legacy"), seed=0).eval()
    with torch.inference_mode():
        out = network(torch.rand(1, 1, size, size, size))
    assert out.shape == (1, 64)
    assert torch.isfinite(out).all()


def test_the_stem_has_no_relu_before_its_pool():
    """With gamma 0 and beta -1 the norm gives -1 everywhere, and the pool passes it on, padding or not."""
    network = LegacyResNet3d().eval()
    torch.nn.init.zeros_(network.stem_bn.weight)
    torch.nn.init.constant_(network.stem_bn.bias, -1.0)
    seen = []
    network.stages.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        network(torch.rand(1, 1, 16, 16, 16))
    assert seen[0].shape == (1, 64, 4, 4, 4)
    assert (seen[0] == -1).all()


def test_it_has_the_published_number_of_weights():
    network = build_network(EncoderConfig(family="legacy"), seed=0)
    state = network.state_dict().items()
    n = sum(tensor.numel() for name, tensor in state if not name.endswith("num_batches_tracked"))
    assert round(n / 1e6, 2) == 33.75  # moving averages included
