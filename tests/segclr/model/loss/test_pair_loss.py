"""All losses behind their common interface, and each in two processes against one."""

import pytest
import torch
from torch import distributed, multiprocessing

from segclr.config import EncoderConfig, TrainConfig
from segclr.model.loss import Decoupled, NtXent, SimSiam, VicReg, build_loss

ENCODER = EncoderConfig(norm="group", projection_dim=4)
LOSSES = ["nt_xent", "decoupled", "vicreg", "simsiam"]


def test_the_configured_loss_is_built_with_its_parameters():
    def built(**keys):
        return build_loss(TrainConfig(**keys), ENCODER, seed=0)

    assert built(loss="nt_xent", temperature=0.3) == NtXent(0.3)
    assert built(loss="decoupled", temperature=0.2) == Decoupled(0.2)
    assert built(loss="vicreg", vicreg_weights=(1, 2, 3)) == VicReg(1, 2, 3)
    simsiam = built(loss="simsiam", predictor_hidden=7)
    assert isinstance(simsiam, SimSiam)
    assert [tuple(p.shape) for p in simsiam.parameters() if p.ndim == 2] == [(7, 4), (4, 7)]


def test_a_predictor_is_a_function_of_the_seed_and_leaves_the_global_state_alone():
    before = torch.random.get_rng_state()
    first, again, other = (build_loss(TrainConfig(loss="simsiam"), ENCODER, seed=s) for s in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first.predictor[0].weight, again.predictor[0].weight)
    assert not torch.equal(first.predictor[0].weight, other.predictor[0].weight)


def loss_and_gradients(kind, weight, inputs, groups):
    loss = build_loss(TrainConfig(loss=kind), ENCODER, seed=0)
    weights = [weight.clone().requires_grad_()]
    if isinstance(loss, SimSiam):
        weights += loss.double().parameters()
    value = loss(inputs[0] @ weights[0], inputs[1] @ weights[0], groups)
    value.backward()
    return value.detach(), [w.grad for w in weights]


def _one_process(rank, file, weight, inputs, groups, queue):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    mine = slice(rank * 3, rank * 3 + 3)
    for kind in LOSSES:
        value, gradients = loss_and_gradients(kind, weight, inputs[:, mine], groups[mine])
        for tensor in (value, *gradients):
            distributed.all_reduce(tensor)  # what DDP does: the mean over processes
        queue.put((rank, kind, value.item() / 2, [(g / 2).tolist() for g in gradients]))
    distributed.barrier()
    distributed.destroy_process_group()


def test_two_processes_equal_one_that_holds_the_whole_batch(tmp_path):
    inputs = torch.randn(2, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weight = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    groups = torch.tensor([0, 1, 1, 2, 1, 0])
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    processes = [
        context.Process(target=_one_process, args=(r, tmp_path / "meet", weight, inputs, groups, queue))
        for r in range(2)
    ]
    for process in processes:
        process.start()
    found = [queue.get() for _ in range(2 * len(LOSSES))]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert len({(rank, kind) for rank, kind, _, _ in found}) == 2 * len(LOSSES)
    for rank, kind, value, gradients in found:
        wanted, wanted_gradients = loss_and_gradients(kind, weight, inputs, groups)
        assert abs(value - wanted.item()) < 1e-9, (rank, kind)
        for gradient, wanted_gradient in zip(gradients, wanted_gradients, strict=True):
            difference = torch.tensor(gradient, dtype=torch.float64) - wanted_gradient
            assert difference.abs().max() < 1e-9, (rank, kind)


@pytest.mark.parametrize("kind", LOSSES)
def test_swapping_the_two_views_changes_nothing(kind):
    a, b = torch.randn(2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    loss = build_loss(TrainConfig(loss=kind), ENCODER, seed=0)
    if isinstance(loss, SimSiam):
        loss.double()
    assert loss(a, b).item() == pytest.approx(loss(b, a).item())
