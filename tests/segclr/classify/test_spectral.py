import torch
from torch import nn

from segclr.classify.residual import ResidualNetwork
from segclr.classify.spectral import SpectralBound


def test_steps_find_the_largest_singular_value_and_the_end_is_exact():
    torch.manual_seed(0)
    layer = nn.Linear(20, 30)
    nn.init.normal_(layer.weight)
    before = layer.weight.detach().clone()
    bound = SpectralBound([layer], 0.95)
    for _ in range(100):
        bound.step()
    assert abs(float(torch.linalg.svdvals(layer.weight.detach())[0]) - 0.95) < 1e-3
    bound.finish()
    assert float(torch.linalg.svdvals(layer.weight.detach())[0]) <= 0.95 + 1e-6
    ratio = layer.weight.detach() / before
    torch.testing.assert_close(ratio, ratio[0, 0].expand_as(ratio))


def test_layers_below_the_bound_are_left_as_they_are():
    layer = nn.Linear(4, 4)
    nn.init.eye_(layer.weight)
    bound = SpectralBound([layer], 1.5)
    bound.step()
    bound.finish()
    torch.testing.assert_close(layer.weight.detach(), torch.eye(4))


def test_bounded_blocks_neither_merge_nor_tear_distances():
    torch.manual_seed(0)
    network = ResidualNetwork(16, width=16, n_blocks=3, output=nn.Identity(), spread=2.0)
    for layer in network.block_layers():
        nn.init.normal_(layer.weight)
    SpectralBound(network.block_layers(), 0.8).finish()
    h, g = torch.randn(200, 16), torch.randn(200, 16)
    blocks = network.blocks.requires_grad_(requires_grad=False)
    stretched = (blocks(h) - blocks(g)).norm(dim=1) / (h - g).norm(dim=1)
    reach = 0.8**2  # of the branch of a block, two layers and ReLUs
    assert (1 - reach) ** 3 <= float(stretched.min()) <= float(stretched.max()) <= (1 + reach) ** 3
