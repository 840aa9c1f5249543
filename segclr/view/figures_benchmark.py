"""How many labels a method needs, and whether its probabilities are right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from segclr.errors import DataError
from segclr.view.style import BASELINE, MARKERS, OKABE_ITO, new_figure, tidy

__all__ = ["LabelCurve", "figure_label_efficiency", "figure_reliability", "label_columns"]


@dataclass(frozen=True, kw_only=True)
class LabelCurve:
    """A method's score at several numbers of labels.

    Attributes:
        name: shown in the legend.
        n_labels: ascending.
        scores: one array of scores (test tissues, draws) for each number of labels.
        is_baseline: one score, drawn as a dashed grey line across.
    """

    name: str
    n_labels: Sequence[int]
    scores: Sequence[Sequence[float]]
    is_baseline: bool = False

    def __post_init__(self) -> None:
        """Refuse lengths that differ."""
        if len(self.n_labels) != len(self.scores) or not all(len(s) for s in self.scores):
            msg = f"curve {self.name!r}: each number of labels needs its scores"
            raise DataError(msg)

    @property
    def means(self) -> list[float]:
        """Mean score at each number of labels."""
        return [float(np.mean(s)) for s in self.scores]


def figure_label_efficiency(curves: Sequence[LabelCurve]) -> Figure:
    """Macro F1 (0 to 1) against the number of labels, logarithmic; bars from lowest to highest score."""
    if not curves:
        msg = "no curve to draw"
        raise DataError(msg)
    figure = new_figure(width_in=6.4, height_in=3.6)
    axes = figure.subplots()
    n_lines = n_baselines = 0
    for curve in curves:
        if curve.is_baseline:
            style = ("--", ":", "-.", (0, (1, 3)))[n_baselines % 4]
            axes.axhline(curve.means[-1], color=BASELINE, linestyle=style, linewidth=1.2, label=curve.name)
            n_baselines += 1
            continue
        means = np.array(curve.means)
        low, high = (np.array([f(s) for s in curve.scores]) for f in (np.min, np.max))
        axes.errorbar(
            curve.n_labels,
            means,
            yerr=[means - low, high - means],
            color=OKABE_ITO[n_lines % len(OKABE_ITO)],
            marker=MARKERS[n_lines % len(MARKERS)],
            markersize=5,
            linewidth=1.4,
            capsize=2.5,
            label=curve.name,
        )
        n_lines += 1
    axes.set_xscale("log")
    numbers = sorted({n for curve in curves for n in curve.n_labels})
    axes.set_xticks(numbers, [f"{n:,}" for n in numbers], rotation=45)
    axes.minorticks_off()
    axes.set(xlabel="labelled nodes", ylabel="macro F1", ylim=(0, 1))
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    tidy(axes)
    return figure


def figure_reliability(curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> Figure:
    """Share of right answers against the probability of the answer; the diagonal is calibrated.

    Args:
        curves: for each name, mean probability and share of right answers of each bin, 0 to 1.
    """
    if not curves:
        msg = "no curve to draw"
        raise DataError(msg)
    figure = new_figure(width_in=4.6, height_in=3.6)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=BASELINE, linestyle="--", linewidth=1.0)
    for i, (name, (confidence, accuracy)) in enumerate(curves.items()):
        axes.plot(
            confidence,
            accuracy,
            color=OKABE_ITO[i % len(OKABE_ITO)],
            marker=MARKERS[i % len(MARKERS)],
            markersize=5,
            linewidth=1.4,
            label=name,
        )
    axes.set(xlabel="probability of the answer", ylabel="share of right answers", xlim=(0, 1), ylim=(0, 1))
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    tidy(axes)
    return figure


def label_columns(curves: Sequence[LabelCurve]) -> dict[str, list[str | float]]:
    """The curves as long columns: curve, n_labels, mean, lowest, highest, n_scores."""
    points = [
        (curve.name, n, scores, mean)
        for curve in curves
        for n, scores, mean in zip(curve.n_labels, curve.scores, curve.means, strict=True)
    ]
    return {
        "curve": [name for name, *_ in points],
        "n_labels": [float(n) for _, n, _, _ in points],
        "mean": [mean for *_, mean in points],
        "lowest": [float(min(scores)) for _, _, scores, _ in points],
        "highest": [float(max(scores)) for _, _, scores, _ in points],
        "n_scores": [float(len(scores)) for _, _, scores, _ in points],
    }
