import torch
from torch import nn

from segclr.config import EncoderConfig
from segclr.model.flops import gflop_per_cube
from segclr.model.network import build_network


def counted_by_hooks(config, size):
    """Two operations a weight and output place of every convolution and linear layer that is run."""
    network = build_network(config, seed=0).eval()
    total = 0

    def count(layer, _inputs, output):
        nonlocal total
        places = output.numel() // layer.weight.shape[0]
        total += 2 * layer.weight.numel() * places

    for layer in network.modules():
        if isinstance(layer, nn.Conv3d | nn.Linear):
            layer.register_forward_hook(count)
    with torch.inference_mode():
        network(torch.zeros(1, 1, size, size, size))
    return total / 1e9


def test_work_is_that_of_every_layer():
    for config in (
        EncoderConfig(depth=10, width=0.125, stem="medium"),
        EncoderConfig(depth=50, width=0.125, stages=2, input="centred", heads="light"),
        EncoderConfig(depth=18, width=0.25, stem="patch", norm="group"),
    ):
        told = gflop_per_cube(config, size_vx=17)
        assert abs(told / counted_by_hooks(config, 17) - 1) < 1e-3


def test_the_published_encoder_is_counted_without_its_memory():
    assert 70 < gflop_per_cube(EncoderConfig(), size_vx=129) < 80
