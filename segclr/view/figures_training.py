"""The training curve: is it learning, and is it collapsing? Six small panels over one axis of steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import binom

from segclr.errors import DataError
from segclr.view.style import BASELINE, OKABE_ITO, new_figure, tidy

__all__ = ["TrainingCurve", "figure_training", "training_columns"]

_BLUE, _VERMILLION, _GREEN, _PURPLE, _ORANGE = OKABE_ITO[:5]
_BY_CHANCE = 0.975  # of the binomial distribution: more than this is not luck
_ROOM_FOR_LEGEND = 0.5  # of the height, below the lines
_LINE: dict[str, Any] = {"linewidth": 1.4, "markersize": 3.5}
_NEAR, _FAR = (
    np.array([0.0, 0.17, 0.35]),
    np.array([0.55, 0.80, 0.95]),
)  # dark to light blue, any colour sense

Values = NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class TrainingCurve:
    """What was logged at the looks at held-out pairs; nan where nothing was recorded.

    Attributes:
        steps: integer [n], optimiser steps, ascending; the first is 0, the untrained network.
        loss: float [n], mean over the steps since the look before.
        top1: share of views whose nearest candidate is their partner; candidates are the partner and the
            views of other cells.
        top5: share whose partner is among the five nearest.
        outranked: share of the views of other cells that are further than the partner; 0.5 by chance.
        effective_rank: of the embeddings.
        dead_dimensions: share of the dimensions that never change.
        alignment: mean squared distance of partners.
        uniformity: log of the mean Gaussian potential.
        cosine_negative: mean cosine similarity of views of different cells.
        cosine_positive: mean cosine similarity of partners, by the name of a bin of path distance, near
            to far.
        probe_macro_f1: of a linear probe; all nan where there was none.
        collapsed: bool [n], the early warning was on.
        chance_top1: ``top1`` of a random guess.
        chance_top5: ``top5`` of a random guess.
        n_views: views that were judged; 0: retrieval was not recorded.
        embedding_dim: length of an embedding.
    """

    steps: NDArray[np.integer]
    loss: Values
    top1: Values
    top5: Values
    outranked: Values
    effective_rank: Values
    dead_dimensions: Values
    alignment: Values
    uniformity: Values
    cosine_negative: Values
    cosine_positive: dict[str, Values]
    probe_macro_f1: Values
    collapsed: NDArray[np.bool_]
    chance_top1: float
    chance_top5: float
    n_views: int
    embedding_dim: int
    _series: dict[str, Values] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse columns of differing lengths, and no look at all."""
        named = {
            name: getattr(self, name)
            for name in (
                "loss",
                "top1",
                "top5",
                "outranked",
                "effective_rank",
                "dead_dimensions",
                "alignment",
                "uniformity",
                "cosine_negative",
                "probe_macro_f1",
            )
        }
        named |= {f"cosine_positive, {bin_}": values for bin_, values in self.cosine_positive.items()}
        object.__setattr__(self, "_series", named)
        lengths = {name: len(values) for name, values in {**named, "collapsed": self.collapsed}.items()}
        if not len(self.steps) or set(lengths.values()) != {len(self.steps)}:
            msg = f"a curve needs as many values as steps, at least 1; got {len(self.steps)} steps, {lengths}"
            raise DataError(msg)

    def series(self) -> dict[str, Values]:
        """Every recorded quantity by name, float [n] each."""
        return dict(self._series)


def figure_training(curve: TrainingCurve) -> Figure:
    """Loss, retrieval, ranking, dimensions, geometry and similarity of held-out pairs, against the step."""
    figure = new_figure(width_in=9.0, height_in=5.0)
    panels = figure.subplots(2, 3, sharex=True).ravel()
    draw = (_loss, _retrieval, _ranking, _dimensions, _geometry, _similarity)
    for letter, axes, panel in zip("abcdef", panels, draw, strict=True):
        panel(axes, curve)
        axes.set_title(f"{letter}  {axes.get_title()}", loc="left", fontsize=9)
        axes.set_title("")
        tidy(axes)
        for text in axes.get_legend().get_texts() if axes.get_legend() else ():
            text.set_fontsize(7)
        _mark_collapse(axes, curve)
    for axes in panels[3:]:
        axes.set_xlabel("optimiser step", fontsize=9)
    return figure


def _plot(axes: Axes, curve: TrainingCurve, values: Values, **style: Any) -> None:
    """A line through what was recorded."""
    known = np.isfinite(values)
    axes.plot(curve.steps[known], values[known], **{**_LINE, **style})


def _loss(axes: Axes, curve: TrainingCurve) -> None:
    _plot(axes, curve, curve.loss, color=_BLUE, marker="o")
    axes.set(title="Training loss", ylabel="mean since last look")


def _retrieval(axes: Axes, curve: TrainingCurve) -> None:
    """On a log axis: what matters is how many times chance; a zero lies on the floor of it."""
    axes.set(title="Held-out partner retrieved", ylabel="share of views")
    if not curve.n_views:
        axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center", color=BASELINE)
        return
    floor = 0.5 / curve.n_views
    for name, values, chance, colour, marker in (
        ("top-5", curve.top5, curve.chance_top5, _ORANGE, "s"),
        ("top-1", curve.top1, curve.chance_top1, _BLUE, "o"),
    ):
        _plot(axes, curve, np.maximum(values, floor), color=colour, marker=marker, label=name)
        axes.axhline(chance, color=colour, linestyle="--", linewidth=1.0, label=f"chance, {name}")
    lucky = float(binom.ppf(_BY_CHANCE, curve.n_views, curve.chance_top1)) / curve.n_views
    axes.axhspan(floor, lucky, color=BASELINE, alpha=0.18, linewidth=0, label="top-1 by luck (95 %)")
    axes.set_yscale("log")
    axes.set_ylim(floor, 1)
    axes.legend(fontsize=7, frameon=False, ncols=2, loc="best", borderaxespad=0.1, columnspacing=1.0)


def _ranking(axes: Axes, curve: TrainingCurve) -> None:
    _plot(axes, curve, curve.outranked, color=_BLUE, marker="o", label="partner is nearer")
    if np.isfinite(curve.probe_macro_f1).any():
        _plot(
            axes, curve, curve.probe_macro_f1, color=_VERMILLION, marker="D", label="linear probe, macro F1"
        )
    axes.axhline(0.5, color=_BLUE, linestyle="--", linewidth=1.0, label="its chance")
    axes.set(title="Partner against other cells", ylabel="share")
    lowest = np.nanmin([0.45, *curve.outranked, *curve.probe_macro_f1])
    axes.set_ylim(max(0.0, lowest - 0.05), 1.0)
    axes.legend(fontsize=7, frameon=False, loc="best")


def _dimensions(axes: Axes, curve: TrainingCurve) -> None:
    alive = (1 - curve.dead_dimensions) * curve.embedding_dim
    _plot(axes, curve, alive, color=_ORANGE, marker="s", label="not dead")
    _plot(axes, curve, curve.effective_rank, color=_GREEN, marker="^", label="effective rank")
    axes.axhline(1.0, color=BASELINE, linestyle="--", linewidth=1.0, label="one line: collapse")
    axes.set(title="Dimensions in use", ylabel=f"dimensions (of {curve.embedding_dim})", yscale="log")
    axes.set_ylim(0.8, 1.6 * curve.embedding_dim)
    ticks = [n for n in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024) if n <= curve.embedding_dim]
    axes.set_yticks(ticks, labels=[str(n) for n in ticks])
    axes.minorticks_off()
    above_one = (0, 0.12, 1, 0.88)  # of the panel: the line at 1 lies below
    axes.legend(fontsize=7, frameon=False, loc="best", bbox_to_anchor=above_one)


def _geometry(axes: Axes, curve: TrainingCurve) -> None:
    _plot(axes, curve, curve.alignment, color=_PURPLE, marker="v", label="alignment (squared distance)")
    _plot(axes, curve, curve.uniformity, color=_BLUE, marker="o", label="uniformity (log potential)")
    axes.axhline(0.0, color=BASELINE, linewidth=0.8)
    axes.set(title="Alignment and uniformity", ylabel="lower is better")
    axes.legend(fontsize=7, frameon=False, loc="best")


def _similarity(axes: Axes, curve: TrainingCurve) -> None:
    shades = np.linspace(0, 1, max(2, len(curve.cosine_positive)))
    for shade, (name, values) in zip(shades, curve.cosine_positive.items(), strict=False):
        colour = tuple(_NEAR + shade * 0.8 * (_FAR - _NEAR))
        _plot(axes, curve, values, color=colour, marker="o", label=name)
    _plot(
        axes, curve, curve.cosine_negative, color=_VERMILLION, marker="s", linestyle="--", label="other cells"
    )
    axes.set(title="Similarity of embeddings", ylabel="mean cosine")
    low, high = axes.get_ylim()
    axes.set_ylim(low - _ROOM_FOR_LEGEND * (high - low), high)
    axes.legend(
        title="partners, by the path between them",
        title_fontsize=7,
        alignment="left",
        fontsize=7,
        frameon=False,
        loc="lower left",
        ncols=2,
        borderaxespad=0.1,
        columnspacing=1.0,
    )


def _mark_collapse(axes: Axes, curve: TrainingCurve) -> None:
    """Shade from the first to the last look of each time that the warning was on."""
    for step, on in zip(curve.steps, curve.collapsed, strict=True):
        if on:
            axes.axvline(step, color=_VERMILLION, alpha=0.3, linewidth=5, zorder=0)


def training_columns(curve: TrainingCurve) -> dict[str, list[str | float | int]]:
    """The numbers of the curve as long columns: step, quantity, value; what was not recorded is left out."""
    columns: dict[str, list[str | float | int]] = {"step": [], "quantity": [], "value": []}
    for name, values in curve.series().items():
        known = np.flatnonzero(np.isfinite(values))
        columns["step"] += [int(curve.steps[i]) for i in known]
        columns["quantity"] += [name] * len(known)
        columns["value"] += [float(values[i]) for i in known]
    return columns
