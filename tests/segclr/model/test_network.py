"""Random networks are a function of configuration and seed."""

import torch

from segclr.config import EncoderConfig
from segclr.model import build_network

SMALL = EncoderConfig(depth=10, width=0.125, stem="medium", bottleneck_hidden=16)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    a, b, c = (build_network(SMALL, seed=s).state_dict() for s in (1, 1, 2))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["bottleneck.layers.0.weight"], c["bottleneck.layers.0.weight"])


def test_the_callers_random_state_is_left_alone():
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    build_network(SMALL, seed=1)
    assert torch.equal(torch.rand(3), wanted)


def test_embeddings_and_projections_have_the_configured_lengths():
    network = build_network(SMALL, seed=0).eval()
    embeddings = network(torch.rand(3, 1, 9, 9, 9))
    assert embeddings.shape == (3, 64)
    assert network.project(embeddings).shape == (3, 16)
