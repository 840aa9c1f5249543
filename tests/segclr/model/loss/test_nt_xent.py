"""NT-Xent against the formula written out in loops, and against pytorch-metric-learning."""

import pytest
import torch
from pytorch_metric_learning.losses import NTXentLoss

from segclr.model import NtXent


def slow_nt_xent(view_a, view_b, temperature, groups=None):
    """Equation 1 of SimCLR, term by term."""
    rows = [*view_a, *view_b]
    n = len(view_a)
    rows = [row / (row @ row) ** 0.5 for row in rows]
    labels = None if groups is None else [int(g) for g in groups] * 2
    total = torch.zeros((), dtype=torch.float64)
    for i in range(2 * n):
        partner = (i + n) % (2 * n)
        denominator = torch.zeros((), dtype=torch.float64)
        for j in range(2 * n):
            false_negative = labels is not None and labels[i] == labels[j] and j != partner
            if j != i and not false_negative:
                denominator = denominator + torch.exp((rows[i] @ rows[j]) / temperature)
        total = total - torch.log(torch.exp((rows[i] @ rows[partner]) / temperature) / denominator)
    return total / (2 * n)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 16])
@pytest.mark.parametrize("d", [1, 2, 5, 16])
@pytest.mark.parametrize("temperature", [0.1, 0.5])
@pytest.mark.parametrize("masked", [False, True])
def test_value_and_gradient_equal_the_slow_derivation(n, d, temperature, masked):
    generator = torch.Generator().manual_seed(n * 100 + d)
    views = [torch.randn(n, d, generator=generator, dtype=torch.float64) for _ in range(2)]
    groups = torch.randint(0, 3, (n,), generator=generator) if masked else None
    fast = [v.clone().requires_grad_() for v in views]
    slow = [v.clone().requires_grad_() for v in views]
    value = NtXent(temperature)(*fast, groups)
    wanted = slow_nt_xent(*slow, temperature, groups)
    value.backward()
    wanted.backward()
    assert abs(value.item() - wanted.item()) < 1e-9
    for a, b in zip(fast, slow, strict=True):
        assert (a.grad - b.grad).abs().max() < 1e-9


def test_the_loss_does_not_see_the_length_of_a_vector():
    a, b = torch.randn(2, 4, 8, dtype=torch.float64)
    assert torch.allclose(NtXent(0.2)(a, b), NtXent(0.2)(3 * a, 0.5 * b))


def test_with_a_single_segment_masked_only_the_partner_is_left():
    a, b = torch.randn(2, 4, 8)
    assert float(NtXent(0.1)(a, b, torch.zeros(4, dtype=torch.int64))) == pytest.approx(0, abs=1e-6)


def test_equal_partners_lose_less_than_strangers():
    a, b = torch.randn(2, 8, 16)
    assert NtXent(0.1)(a, a) < NtXent(0.1)(a, b)


@pytest.mark.parametrize("masked", [False, True])
def test_value_and_gradient_equal_pytorch_metric_learning(masked):
    n, generator = 9, torch.Generator().manual_seed(4)
    views = torch.randn(2, n, 6, generator=generator, dtype=torch.float64)
    groups = torch.randint(0, 4, (n,), generator=generator)
    own, other = views.clone().requires_grad_(), views.clone().requires_grad_()
    value = NtXent(0.3)(*own, groups if masked else None)
    row = torch.arange(2 * n)
    same_pair = (row % n)[:, None] == (row % n)[None, :]
    labels = groups.repeat(2)
    negative = (labels[:, None] != labels[None, :]) if masked else ~same_pair
    partner = same_pair & ~torch.eye(2 * n, dtype=torch.bool)
    indices = (*torch.where(partner), *torch.where(negative & ~same_pair))
    wanted = NTXentLoss(temperature=0.3)(other.flatten(0, 1), indices_tuple=indices)
    value.backward()
    wanted.backward()
    assert abs(value.item() - wanted.item()) < 1e-9
    assert (own.grad - other.grad).abs().max() < 1e-9
