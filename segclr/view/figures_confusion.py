"""Confusion matrices: shares of each true class in colour, counts written in."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from segclr.classify.evaluate import UNKNOWN, Evaluation
from segclr.errors import DataError
from segclr.view.style import new_figure

__all__ = ["confusion_columns", "figure_confusions"]

_NOTHING = "#EEEEEE"


def figure_confusions(evaluations: Mapping[str, Evaluation]) -> Figure:
    """One matrix for each title; a row sums to 100 % of its true class.

    A column "unknown" appears where a classifier was allowed to answer so; a class without a true row has
    dashes on grey, for nothing can be said about it.
    """
    if not evaluations:
        msg = "no evaluation to draw"
        raise DataError(msg)
    n_cells = max(len(e.labels) + bool(e.unknown.any()) for e in evaluations.values())
    side = max(2.0, 0.5 * n_cells)  # inches of one matrix; its names and title come on top
    figure = new_figure(width_in=(side + 1.8) * len(evaluations) + 0.8, height_in=side + 1.7)
    grid = figure.subplots(1, len(evaluations), squeeze=False)[0]
    for axes, (title, evaluation) in zip(grid, evaluations.items(), strict=True):
        counts, names = evaluation.confusion, list(evaluation.labels)
        if evaluation.unknown.any():
            counts = np.column_stack([counts, evaluation.unknown])
            names = [*names, UNKNOWN]
        support = counts.sum(axis=1, keepdims=True)
        shares = np.ma.masked_array(
            counts / np.maximum(support, 1), mask=np.broadcast_to(support == 0, counts.shape)
        )
        axes.set_facecolor(_NOTHING)
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), share in np.ndenumerate(shares.filled(0)):
            some = f"{100 * share:.0f} %\n{counts[row, column]}" if share else "0"
            axes.text(
                column,
                row,
                some if support[row] else "–",
                ha="center",
                va="center",
                fontsize=6.5,
                color="white" if share > 0.55 else "black" if share else "#777777",
            )
        axes.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=8)
        n_rows = zip(evaluation.labels, evaluation.support, strict=True)
        axes.set_yticks(range(len(evaluation.labels)), [f"{c} (n = {n})" for c, n in n_rows], fontsize=8)
        axes.set_xlabel("predicted class", fontsize=9)
        axes.set_ylabel("true class", fontsize=9)
        axes.set_title(f"{title}\nmacro F1 {evaluation.macro_f1:.2f}, n = {evaluation.n}", fontsize=9)
    bar = figure.colorbar(image, ax=list(grid), shrink=0.8, pad=0.02)
    bar.set_label("share of the true class", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return figure


def confusion_columns(evaluations: Mapping[str, Evaluation]) -> dict[str, list[str | int]]:
    """The counts as long columns: matrix, true class, predicted class, count."""
    columns: dict[str, list[str | int]] = {"matrix": [], "true": [], "predicted": [], "count": []}
    for title, evaluation in evaluations.items():
        counts = np.column_stack([evaluation.confusion, evaluation.unknown])
        for (row, column), count in np.ndenumerate(counts):
            columns["matrix"].append(title)
            columns["true"].append(evaluation.labels[row])
            columns["predicted"].append((*evaluation.labels, UNKNOWN)[column])
            columns["count"].append(int(count))
    return columns
