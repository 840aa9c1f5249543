"""Optimisers against their formulas."""

import math

import pytest
import torch
from torch import nn

from segclr.config import TrainConfig
from segclr.train.optimizer import Lars, learning_rate_factor, make_optimizer, parameter_groups


def test_lars_follows_its_paper_step_by_step():
    weight = nn.Parameter(torch.randn(3, 4, dtype=torch.float64))
    slow, velocity = weight.detach().clone(), torch.zeros(3, 4, dtype=torch.float64)
    optimizer = Lars([weight], lr=0.5, momentum=0.9, weight_decay=0.01, trust=0.02)
    for k in range(4):
        gradient = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(k))
        weight.grad = gradient.clone()
        optimizer.step()
        direction = gradient + 0.01 * slow
        local = 0.02 * math.sqrt(float((slow**2).sum())) / math.sqrt(float((direction**2).sum()))
        velocity = 0.9 * velocity + 0.5 * local * direction
        slow = slow - velocity
        assert torch.allclose(weight, slow, atol=1e-12)


def test_lars_without_adaptation_is_plain_momentum():
    lars_weight, sgd_weight = (nn.Parameter(torch.ones(5)) for _ in range(2))
    lars = Lars([{"params": [lars_weight], "adapt": False}], lr=0.1)
    sgd = torch.optim.SGD([sgd_weight], lr=0.1, momentum=0.9)
    for k in range(3):
        gradient = torch.randn(5, generator=torch.Generator().manual_seed(k))
        lars_weight.grad, sgd_weight.grad = gradient.clone(), gradient.clone()
        lars.step()
        sgd.step()
    assert torch.allclose(lars_weight, sgd_weight, atol=1e-6)


def test_lars_takes_a_zero_gradient_or_weight_without_nan():
    weight = nn.Parameter(torch.zeros(3, 3))
    optimizer = Lars([weight], lr=0.1)
    weight.grad = torch.zeros(3, 3)
    optimizer.step()
    assert torch.equal(weight, torch.zeros(3, 3))


def test_norms_and_biases_are_spared_weight_decay():
    network = nn.Sequential(nn.Conv3d(1, 2, 3), nn.BatchNorm3d(2), nn.Linear(2, 2))
    kernels, others = parameter_groups(network, weight_decay=0.3)
    assert [p.ndim for p in kernels["params"]] == [5, 2]
    assert all(p.ndim == 1 for p in others["params"])
    assert len(others["params"]) == 4
    assert (kernels["weight_decay"], others["weight_decay"]) == (0.3, 0.0)


def test_weights_that_take_no_gradient_are_left_out():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[0].requires_grad_(False)
    kernels, others = parameter_groups(network, weight_decay=0.3)
    assert kernels["params"] == [network[1].weight]
    assert others["params"] == [network[1].bias]


@pytest.mark.parametrize("kind", ["lars", "adamw", "sgd"])
def test_only_kernels_decay_and_only_kernels_are_adapted_by_lars(kind):
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    config = TrainConfig(optimizer=kind, learning_rate=0.5, weight_decay=0.2)
    kernels, others = make_optimizer(network, config).param_groups
    assert (kernels["weight_decay"], others["weight_decay"]) == (0.2, 0.0)
    assert [len(kernels["params"]), len(others["params"])] == [1, 3]
    if kind == "lars":
        assert (kernels["adapt"], others["adapt"]) == (True, False)
        assert (kernels["trust"], kernels["momentum"]) == (0.001, 0.9)


@pytest.mark.parametrize("kind", ["lars", "adamw", "sgd"])
def test_every_configured_optimiser_lowers_a_loss(kind):
    torch.manual_seed(0)
    network = nn.Linear(4, 1)
    x, y = torch.randn(64, 4), torch.randn(64, 1)
    rate = {"lars": 1.0, "adamw": 0.05, "sgd": 0.05}[kind]
    optimizer = make_optimizer(network, TrainConfig(optimizer=kind, learning_rate=rate, weight_decay=0))
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = ((network(x) - y) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_the_rate_warms_up_in_a_line_and_falls_in_a_cosine_to_0():
    factors = [learning_rate_factor(k, steps=30, warmup_steps=10) for k in range(31)]
    assert factors[:10] == pytest.approx([(k + 1) / 10 for k in range(10)])
    assert factors[10] == 1
    assert factors[20] == pytest.approx(0.5)
    assert factors[30] == pytest.approx(0)
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert learning_rate_factor(0, steps=5, warmup_steps=0) == 1
