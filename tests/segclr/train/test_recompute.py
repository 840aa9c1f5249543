"""Recomputed activations: the same values and gradients, less memory."""

import pytest
import torch

from segclr.config import EncoderConfig
from segclr.model import build_network
from segclr.train.recompute import recompute_activations

CONFIGS = {
    "basic": EncoderConfig(depth=18, width=0.125, stem="small"),
    "bottleneck": EncoderConfig(depth=50, width=0.125, stem="large", norm="group"),
    "centred": EncoderConfig(depth=10, width=0.125, stem="patch", input="centred", heads="light"),
    "legacy": EncoderConfig(family="legacy"),
}


def run(network, cubes):
    """Embeddings, gradients, running statistics, and the bytes that were kept for the backward pass."""
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    own = {p.untyped_storage().data_ptr() for p in (*network.parameters(), *network.buffers())}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        embeddings = network(cubes)
    embeddings.square().mean().backward()
    gradients = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    n_bytes = sum(n for pointer, n in kept.items() if pointer not in own)
    return embeddings.detach(), gradients, dict(network.named_buffers()), n_bytes


@pytest.mark.parametrize("name", CONFIGS)
def test_values_gradients_statistics_and_names_are_the_same_with_less_kept(name):
    cubes = torch.rand(2, 1, 17, 17, 17, generator=torch.Generator().manual_seed(0))
    plain, twice = (build_network(CONFIGS[name], seed=0) for _ in range(2))
    recompute_activations(twice.backbone)
    assert list(twice.state_dict()) == list(plain.state_dict())
    wanted, found = run(plain, cubes), run(twice, cubes)
    assert torch.equal(found[0], wanted[0])
    for part in (1, 2):
        assert found[part].keys() == wanted[part].keys()
        for key, value in wanted[part].items():
            assert torch.equal(found[part][key], value), key
    assert found[3] < 0.75 * wanted[3]


def test_inference_keeps_and_recomputes_nothing():
    network = build_network(CONFIGS["basic"], seed=0).eval()
    cubes = torch.rand(1, 1, 9, 9, 9)
    with torch.inference_mode():
        wanted = network(cubes)
        recompute_activations(network.backbone)
        assert torch.equal(network(cubes), wanted)
