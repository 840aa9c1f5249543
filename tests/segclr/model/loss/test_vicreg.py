"""VICReg against its three terms written out in loops, and against pytorch-metric-learning."""

import math

import pytest
import torch
from pytorch_metric_learning.losses import VICRegLoss

from segclr.model.loss import VicReg


def slow_vicreg(a, b, weights):
    n, d = a.shape
    invariance = sum((a[i, j] - b[i, j]) ** 2 for i in range(n) for j in range(d)) / (n * d)
    variance, covariance = 0.0, 0.0
    for view in (a, b):
        means = [sum(view[i, j] for i in range(n)) / n for j in range(d)]
        for j in range(d):
            for k in range(d):
                moment = sum((view[i, j] - means[j]) * (view[i, k] - means[k]) for i in range(n)) / (n - 1)
                if j == k:
                    variance = variance + torch.clamp(1 - torch.sqrt(moment + 1e-4), min=0) / d / 2
                else:
                    covariance = covariance + moment**2 / d
    return weights[0] * invariance + weights[1] * variance + weights[2] * covariance


@pytest.mark.parametrize("n", [2, 3, 8])
@pytest.mark.parametrize("d", [1, 2, 6])
@pytest.mark.parametrize("weights", [(25.0, 25.0, 1.0), (1.0, 0.5, 3.0)])
def test_value_and_gradient_equal_the_slow_derivation(n, d, weights):
    generator = torch.Generator().manual_seed(n * 100 + d)
    views = torch.randn(2, n, d, generator=generator, dtype=torch.float64)
    fast, slow = views.clone().requires_grad_(), views.clone().requires_grad_()
    value = VicReg(*weights)(*fast)
    wanted = slow_vicreg(*slow, weights)
    value.backward()
    wanted.backward()
    assert abs(value.item() - wanted.item()) < 1e-9
    assert (fast.grad - slow.grad).abs().max() < 1e-9


def test_value_and_gradient_equal_pytorch_metric_learning():
    views = torch.randn(2, 12, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    own, other = views.clone().requires_grad_(), views.clone().requires_grad_()
    value = VicReg()(*own)
    wanted = VICRegLoss()(other[0], ref_emb=other[1])
    value.backward()
    wanted.backward()
    assert abs(value.item() - wanted.item()) < 1e-9
    assert (own.grad - other.grad).abs().max() < 1e-9


def test_collapse_costs_the_whole_variance_term_and_a_spread_without_redundancy_costs_nothing():
    collapsed = torch.ones(8, 3)
    assert float(VicReg()(collapsed, collapsed)) == pytest.approx(25 * (1 - math.sqrt(1e-4)), rel=1e-5)
    spread = 2 * torch.cat([torch.eye(3), -torch.eye(3)])
    assert float(VicReg()(spread, spread)) == 0
