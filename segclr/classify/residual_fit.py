"""How the residual network learns: Adam, penalties, a spectral bound, and an end on cells it has not seen."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from segclr.classify.residual import ResidualNetwork
from segclr.classify.spectral import SpectralBound

__all__ = ["Schedule", "fit_network", "one_thread"]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How to train.

    Attributes:
        learning_rate: of Adam.
        l2: factor of the squared weights of all dense layers, beside the mean log loss.
        spectral_bound: of the residual blocks; None: none.
        epochs: most passes through the data.
        patience: epochs without a lower loss on the held-out rows after which training ends.
        batch_size: rows.
        seed: of the order of rows.
    """

    learning_rate: float
    l2: float
    spectral_bound: float | None
    epochs: int
    patience: int
    batch_size: int
    seed: int


@contextmanager
def one_thread() -> Iterator[None]:
    """Run PyTorch on one CPU thread.

    On two, batches of this size took as long (0.7 to 1.1 times), and many times longer where other processes
    wanted the cores, for a thread that waits for its turn holds up the others at every small step.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fit_network(
    network: ResidualNetwork,
    rows: tuple[Tensor, Tensor],
    held_out: tuple[Tensor, Tensor] | None,
    *,
    class_weight: Tensor,
    ridge: float,
    schedule: Schedule,
) -> int:
    """Train in place; with held-out rows the weights of the epoch with the lowest loss on them are kept.

    Args:
        network: on the device of the rows.
        rows: embeddings [n, d] and int64 class numbers [n].
        held_out: the same, of other cells; None: all epochs are run.
        class_weight: [k], of the log losses, on both sides.
        ridge: precision of the Gaussian prior of the output layer's weights: ridge / 2 times their squares
            stands beside the sum, not the mean, of the log losses; 0: none.
        schedule: how.

    Returns:
        Epochs whose weights were kept.
    """
    x, target = rows
    loss_of = nn.CrossEntropyLoss(weight=class_weight)
    # Adam's decay is the gradient of decay / 2 times the squared weights: the same as penalties in the loss.
    penalised = [layer.weight for layer in network.dense_layers()]
    biases = [layer.bias for layer in network.dense_layers()]
    decays = (
        (penalised, 2 * schedule.l2),
        (biases, 0.0),
        (list(network.output.parameters()), ridge / len(x)),
    )
    groups = [{"params": tensors, "weight_decay": decay} for tensors, decay in decays]
    optimizer = torch.optim.Adam(groups, lr=schedule.learning_rate, fused=True)
    bound = schedule.spectral_bound
    spectral = None if bound is None else SpectralBound(network.block_layers(), bound)
    order = torch.Generator().manual_seed(schedule.seed)
    best, best_loss, kept = copy.deepcopy(network.state_dict()), float("inf"), 0
    for epoch in range(1, schedule.epochs + 1):
        for batch in torch.split(torch.randperm(len(x), generator=order), schedule.batch_size):
            chosen = batch.to(x.device)
            loss = loss_of(network(x[chosen]), target[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if spectral is not None:
                spectral.step()
        if held_out is None:
            kept = epoch
            continue
        with torch.no_grad():
            judged = float(loss_of(network(held_out[0]), held_out[1]))
        if judged < best_loss:
            best, best_loss, kept = copy.deepcopy(network.state_dict()), judged, epoch
        elif epoch - kept >= schedule.patience:
            break
    if held_out is not None:
        network.load_state_dict(best)
    if spectral is not None:
        spectral.finish()
    return kept
