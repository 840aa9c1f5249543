"""NT-Xent against the formula written out in loops, and two processes against one."""

import pytest
import torch
from torch import distributed, multiprocessing

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


@pytest.mark.parametrize("n", [2, 3, 7])
@pytest.mark.parametrize("d", [2, 5, 16])
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


def _one_process(rank, file, weight, inputs, groups, queue):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    weight = weight.clone().requires_grad_()
    mine = slice(rank * 3, rank * 3 + 3)
    loss = NtXent(0.1)(inputs[0][mine] @ weight, inputs[1][mine] @ weight, groups[mine])
    loss.backward()
    gradient = weight.grad
    distributed.all_reduce(gradient)  # what DDP does: the mean over processes
    queue.put((rank, loss.item(), (gradient / 2).tolist()))
    distributed.barrier()
    distributed.destroy_process_group()


def test_two_processes_equal_one_that_holds_the_whole_batch(tmp_path):
    inputs = torch.randn(2, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weight = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    groups = torch.tensor([0, 1, 1, 2, 1, 0])
    whole = weight.clone().requires_grad_()
    wanted = NtXent(0.1)(inputs[0] @ whole, inputs[1] @ whole, groups)
    wanted.backward()
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    processes = [
        context.Process(target=_one_process, args=(r, tmp_path / "meet", weight, inputs, groups, queue))
        for r in range(2)
    ]
    for process in processes:
        process.start()
    found = sorted(queue.get() for _ in processes)
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert abs(sum(loss for _, loss, _ in found) / 2 - wanted.item()) < 1e-9
    for _, _, gradient in found:
        assert (torch.tensor(gradient, dtype=torch.float64) - whole.grad).abs().max() < 1e-9
