"""The training curve: is it learning, and is it collapsing?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from segclr.errors import DataError
from segclr.view.style import BASELINE, OKABE_ITO, new_figure, tidy

__all__ = ["TrainingCurve", "figure_training", "training_columns"]


@dataclass(frozen=True, kw_only=True)
class TrainingCurve:
    """What was logged during training.

    Attributes:
        steps: integer [n], optimiser steps at which the loss was logged.
        loss: float [n], NT-Xent of the batch, in nats.
        validation_steps: integer [m].
        top1: float [m], share of held-out views whose nearest other view is its partner.
        effective_rank: float [m], of held-out embeddings: 1 is collapse, ``embedding_dim`` the most.
        chance_top1: share that a random pick would reach.
        embedding_dim: length of an embedding.
    """

    steps: NDArray[np.integer]
    loss: NDArray[np.floating]
    validation_steps: NDArray[np.integer]
    top1: NDArray[np.floating]
    effective_rank: NDArray[np.floating]
    chance_top1: float
    embedding_dim: int

    def __post_init__(self) -> None:
        """Refuse columns of differing lengths."""
        m = len(self.validation_steps)
        if len(self.steps) != len(self.loss) or {len(self.top1), len(self.effective_rank)} != {m}:
            msg = (
                f"lengths differ: {len(self.steps)} steps, {len(self.loss)} losses; {m} validation steps, "
                f"{len(self.top1)} top-1, {len(self.effective_rank)} ranks"
            )
            raise DataError(msg)


def figure_training(curve: TrainingCurve) -> Figure:
    """Loss, held-out top-1 beside chance, and effective rank beside its bounds, against the step."""
    figure = new_figure(width_in=9.0, height_in=2.7)
    loss, top1, rank = (tidy(axes) for axes in figure.subplots(1, 3))
    loss.plot(curve.steps, curve.loss, color=OKABE_ITO[0], linewidth=1.0)
    loss.set(title="Training loss", ylabel="NT-Xent (nats)")
    loss.set_ylim(bottom=0)
    top1.plot(curve.validation_steps, curve.top1, color=OKABE_ITO[1], marker="o", markersize=3)
    top1.axhline(curve.chance_top1, color=BASELINE, linestyle="--", linewidth=1.0, label="chance")
    highest = max([curve.chance_top1, *curve.top1], default=0.0)
    top1.set(title="Held-out pairs found", ylabel="top-1 (share of views)", ylim=(0, min(1, 1.25 * highest)))
    top1.legend(fontsize=7, frameon=False)
    rank.plot(curve.validation_steps, curve.effective_rank, color=OKABE_ITO[2], marker="s", markersize=3)
    rank.axhline(1.0, color=BASELINE, linestyle="--", linewidth=1.0, label="collapse (1)")
    rank.set(
        title="Effective rank, held-out",
        ylabel=f"dimensions (of {curve.embedding_dim})",
        ylim=(0, curve.embedding_dim),
    )
    rank.legend(fontsize=7, frameon=False)
    for axes in (loss, top1, rank):
        axes.set_xlabel("optimiser step")
        axes.set_xlim(left=0)
        tidy(axes)
    return figure


def training_columns(curve: TrainingCurve) -> dict[str, list[str | float | int]]:
    """The numbers of the curve as long columns: step, quantity, value."""
    parts = (
        ("loss_nats", curve.steps, curve.loss),
        ("held_out_top1", curve.validation_steps, curve.top1),
        ("effective_rank", curve.validation_steps, curve.effective_rank),
    )
    columns: dict[str, list[str | float | int]] = {"step": [], "quantity": [], "value": []}
    for name, steps, values in parts:
        columns["step"] += [int(step) for step in steps]
        columns["quantity"] += [name] * len(steps)
        columns["value"] += [float(value) for value in values]
    return columns
