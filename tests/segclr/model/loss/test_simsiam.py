"""SimSiam against its formula written out in loops."""

import pytest
import torch
from torch import nn

from segclr.model.loss import SimSiam


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("n", [2, 3, 8])
@pytest.mark.parametrize("d", [2, 5, 16])
def test_value_and_gradient_equal_the_slow_derivation(norm, n, d):
    torch.manual_seed(n * 100 + d)
    loss = SimSiam(d, hidden=4, norm=norm).double()
    views = torch.randn(2, n, d, dtype=torch.float64)
    fast, slow = views.clone().requires_grad_(), views.clone().requires_grad_()
    value = loss(*fast)
    predicted = [loss.predictor(view) for view in slow]
    still = slow.detach()
    wanted = 0
    for side in (0, 1):
        for i in range(n):
            p, z = predicted[side][i], still[1 - side, i]
            wanted = wanted - (p @ z) / ((p @ p) ** 0.5 * (z @ z) ** 0.5) / (2 * n)
    value.backward()
    of_predictor = [p.grad.clone() for p in loss.parameters()]
    loss.zero_grad()
    wanted.backward()
    assert abs(value.item() - wanted.item()) < 1e-9
    assert (fast.grad - slow.grad).abs().max() < 1e-9
    for parameter, gradient in zip(loss.parameters(), of_predictor, strict=True):
        assert (parameter.grad - gradient).abs().max() < 1e-9


def test_the_target_side_takes_no_gradient():
    loss = SimSiam(4, hidden=4, norm="group")
    a = torch.randn(3, 4, requires_grad=True)
    b = torch.randn(3, 4, requires_grad=True)
    nn.init.zeros_(loss.predictor[3].weight)  # predictions are the bias, whatever the views
    loss(a, b).backward()
    assert torch.equal(a.grad, torch.zeros(3, 4))
    assert torch.equal(b.grad, torch.zeros(3, 4))


def test_equal_partners_behind_a_predictor_that_changes_nothing_reach_the_least_loss():
    loss = SimSiam(4, hidden=8, norm="group")
    loss.predictor = nn.Identity()
    a = torch.randn(3, 4)
    assert float(loss(a, 2 * a)) == pytest.approx(-1)
