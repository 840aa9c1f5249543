"""The heads follow the published pattern."""

import pytest
import torch
from torch import nn

from segclr.model import MlpHead
from segclr.model.heads import light_projection


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_dense_without_bias_then_norm_with_relu_after_all_but_the_last(norm):
    head = MlpHead((6, 5, 4, 3), norm=norm)
    kinds = [type(layer).__name__ for layer in head.layers]
    one = ["Linear", "BatchNorm1d" if norm == "batch" else "LayerNorm"]
    assert kinds == [*one, "ReLU", *one, "ReLU", *one]
    assert all(layer.bias is None for layer in head.layers if isinstance(layer, nn.Linear))


def test_the_output_is_the_product_of_its_layers():
    head = MlpHead((6, 5, 3), norm="batch").eval()
    x = torch.randn(4, 6)
    first, norm_1, _, second, norm_2 = head.layers
    hidden = torch.relu((x @ first.weight.T) / torch.sqrt(norm_1.running_var + norm_1.eps))
    wanted = (hidden @ second.weight.T) / torch.sqrt(norm_2.running_var + norm_2.eps)
    assert torch.allclose(head(x), wanted, atol=1e-6)


def test_the_light_projection_is_two_layers_that_keep_the_last_as_it_is():
    layers = light_projection(6, 3, norm="batch").eval()
    x = torch.randn(5, 6)
    first, norm, last = layers[1], layers[2], layers[4]
    hidden = norm(torch.relu(x) @ first.weight.T)
    expected = torch.relu(hidden) @ last.weight.T + last.bias
    torch.testing.assert_close(layers(x), expected)
