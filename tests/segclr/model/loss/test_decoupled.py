"""The decoupled loss against its formula written out in loops, and against NT-Xent."""

import pytest
import torch

from segclr.model import NtXent
from segclr.model.loss import Decoupled


def slow_decoupled(view_a, view_b, temperature, groups=None):
    rows = [row / (row @ row) ** 0.5 for row in (*view_a, *view_b)]
    n = len(view_a)
    total = torch.zeros((), dtype=torch.float64)
    for i, row in enumerate(rows):
        total = total - (row @ rows[(i + n) % (2 * n)]) / temperature
        negatives = [
            torch.exp((row @ other) / temperature)
            for j, other in enumerate(rows)
            if j % n != i % n and (groups is None or groups[i % n] != groups[j % n])
        ]
        if negatives:
            total = total + torch.log(sum(negatives))
    return total / (2 * n)


@pytest.mark.parametrize("n", [2, 3, 7, 16])
@pytest.mark.parametrize("d", [1, 2, 5, 16])
@pytest.mark.parametrize("temperature", [0.1, 0.5])
@pytest.mark.parametrize("masked", [False, True])
def test_value_and_gradient_equal_the_slow_derivation(n, d, temperature, masked):
    generator = torch.Generator().manual_seed(n * 100 + d)
    views = torch.randn(2, n, d, generator=generator, dtype=torch.float64)
    groups = torch.randint(0, 3, (n,), generator=generator) if masked else None
    fast, slow = views.clone().requires_grad_(), views.clone().requires_grad_()
    value = Decoupled(temperature)(*fast, groups)
    wanted = slow_decoupled(*slow, temperature, groups)
    value.backward()
    wanted.backward()
    assert abs(value.item() - wanted.item()) < 1e-9
    assert (fast.grad - slow.grad).abs().max() < 1e-9


def test_a_view_without_negatives_is_drawn_to_its_partner_and_nothing_is_infinite():
    views = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    loss = Decoupled(0.5)(*views, torch.zeros(3, dtype=torch.int64))
    loss.backward()
    wanted = -torch.cosine_similarity(*views.detach()).mean() / 0.5
    assert loss.item() == pytest.approx(float(wanted))
    assert torch.isfinite(views.grad).all()


def test_adding_the_partner_below_the_line_gives_nt_xent():
    a, b = torch.randn(2, 1, 8, dtype=torch.float64)
    strangers = torch.randn(2, 1, 8, dtype=torch.float64)
    views = torch.cat([a, strangers[0]]), torch.cat([b, strangers[1]])
    cosines = torch.cosine_similarity(torch.cat(views)[:, None], torch.cat(views)[None, :], dim=2)
    positive = torch.stack([cosines[i, (i + 2) % 4] for i in range(4)]) / 0.3
    repulsion = torch.stack([cosines[i, [j for j in range(4) if j % 2 != i % 2]] for i in range(4)]) / 0.3
    log_sum = repulsion.logsumexp(dim=1)
    assert Decoupled(0.3)(*views).item() == pytest.approx(float((log_sum - positive).mean()))
    both = torch.logaddexp(log_sum, positive)
    assert NtXent(0.3)(*views).item() == pytest.approx(float((both - positive).mean()))
