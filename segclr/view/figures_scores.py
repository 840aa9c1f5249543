"""Scores: F1 against the aggregation radius, and bars of methods side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segclr.classify.retrieval import RetrievalResult
from segclr.errors import DataError
from segclr.view.style import BASELINE, MARKERS, OKABE_ITO, new_figure, tidy

__all__ = [
    "Score",
    "ScoreCurve",
    "curve_columns",
    "figure_f1_against_radius",
    "figure_retrieval",
    "figure_scores",
    "retrieval_columns",
    "score_columns",
]


@dataclass(frozen=True, kw_only=True)
class ScoreCurve:
    """A score at several aggregation radii.

    Attributes:
        name: shown in the legend, such as "trained, path".
        radius_um: micrometres, ascending.
        score: 0 to 1, one for each radius.
        spread: half length of the error bars, one for each radius; None draws none.
        is_baseline: drawn dashed and grey.
    """

    name: str
    radius_um: Sequence[float]
    score: Sequence[float]
    spread: Sequence[float] | None = None
    is_baseline: bool = False

    def __post_init__(self) -> None:
        """Refuse lengths that differ."""
        spread = self.radius_um if self.spread is None else self.spread
        if not len(self.radius_um) == len(self.score) == len(spread):
            msg = f"curve {self.name!r}: {len(self.radius_um)} radii, {len(self.score)} scores; must match"
            raise DataError(msg)


@dataclass(frozen=True, kw_only=True)
class Score:
    """One bar: a method's score on a task, with the half length of its error bar (0: none)."""

    task: str
    method: str
    value: float
    spread: float = 0.0


def figure_f1_against_radius(curves: Sequence[ScoreCurve]) -> Figure:
    """Macro F1 (0 to 1) against the radius of aggregation; names stand in the legend."""
    if not curves:
        msg = "no curve to draw"
        raise DataError(msg)
    figure = new_figure(width_in=5.6, height_in=3.3)
    axes = figure.subplots()
    n_baselines = 0
    for i, curve in enumerate(curves):
        colour = BASELINE if curve.is_baseline else OKABE_ITO[(i - n_baselines) % len(OKABE_ITO)]
        axes.errorbar(
            curve.radius_um,
            curve.score,
            yerr=curve.spread,
            color=colour,
            linestyle=("--", ":")[n_baselines % 2] if curve.is_baseline else "-",
            marker=MARKERS[i % len(MARKERS)],
            markersize=5,
            capsize=2.5,
            alpha=0.9,
            linewidth=1.4,
            label=curve.name,
        )
        n_baselines += curve.is_baseline
    axes.set(xlabel="aggregation radius (µm)", ylabel="macro F1", ylim=(0, 1))
    axes.set_xticks(sorted({float(r) for curve in curves for r in curve.radius_um}))
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    tidy(axes)
    return figure


def figure_scores(scores: Sequence[Score], *, ylabel: str = "macro F1") -> Figure:
    """Bars from 0 to 1, grouped by task, one colour a method, values written above."""
    if not scores:
        msg = "no score to draw"
        raise DataError(msg)
    tasks = list(dict.fromkeys(score.task for score in scores))
    methods = list(dict.fromkeys(score.method for score in scores))
    colours = _method_colours(methods)
    figure = new_figure(width_in=2.2 + 0.62 * len(tasks) * (len(methods) + 0.6), height_in=3.3)
    axes = figure.subplots()
    for i, method in enumerate(methods):
        bars = [score for score in scores if score.method == method]
        places = [tasks.index(b.task) + (i - (len(methods) - 1) / 2) * 0.8 / len(methods) for b in bars]
        _bars(axes, places, bars, width=0.74 / len(methods), colour=colours[method])
    axes.set_xticks(range(len(tasks)), tasks)
    axes.set(ylabel=ylabel, ylim=(0, 1))
    axes.set_xlim(-0.6, len(tasks) - 0.4)
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    tidy(axes).tick_params(axis="x", length=0)
    return figure


def figure_retrieval(results: Mapping[str, Sequence[RetrievalResult]]) -> Figure:
    """Share of nearest neighbours on the query's own segment, beside chance, for each exclusion.

    Args:
        results: for each encoder, such as "untrained" and "trained", one result per exclusion distance.
    """
    return figure_scores(_retrieval_scores(results), ylabel="nearest neighbour on own segment (share)")


def curve_columns(curves: Sequence[ScoreCurve]) -> dict[str, list[str | float]]:
    """The curves as long columns: curve, radius_um, score, spread (NaN: not measured)."""
    columns: dict[str, list[str | float]] = {"curve": [], "radius_um": [], "score": [], "spread": []}
    for curve in curves:
        columns["curve"] += [curve.name] * len(curve.radius_um)
        columns["radius_um"] += [float(r) for r in curve.radius_um]
        columns["score"] += [float(s) for s in curve.score]
        columns["spread"] += [float(s) for s in curve.spread or [np.nan] * len(curve.score)]
    return columns


def score_columns(scores: Sequence[Score]) -> dict[str, list[str | float]]:
    """The bars as columns: task, method, value, spread."""
    return {name: [getattr(s, name) for s in scores] for name in ("task", "method", "value", "spread")}


def retrieval_columns(results: Mapping[str, Sequence[RetrievalResult]]) -> dict[str, list[str | float]]:
    """All numbers of each result: encoder and the fields of RetrievalResult."""
    rows = [{"encoder": name} | r.to_dict() for name, found in results.items() for r in found]
    return {key: [row[key] for row in rows] for key in (rows[0] if rows else ())}


def _retrieval_scores(results: Mapping[str, Sequence[RetrievalResult]]) -> list[Score]:
    first = next(iter(results.values()), [])
    scores = [Score(task=_beyond(r), method="chance", value=r.chance) for r in first]
    return scores + [
        Score(task=_beyond(r), method=name, value=r.share) for name, found in results.items() for r in found
    ]


def _beyond(result: RetrievalResult) -> str:
    return f"neighbours ≥ {result.exclusion_nm:g} nm away"


def _method_colours(methods: Sequence[str]) -> dict[str, str]:
    """A colour for each method: the same in every figure for the encoders all figures compare."""
    fixed = {"chance": BASELINE, "untrained": OKABE_ITO[5], "trained": OKABE_ITO[0]}
    others = iter(OKABE_ITO[1:5] * len(methods))
    return {method: fixed.get(method) or next(others) for method in methods}


def _bars(axes: Axes, places: list[float], bars: list[Score], *, width: float, colour: str) -> None:
    values, spreads = [b.value for b in bars], [b.spread for b in bars]
    axes.bar(places, values, width, color=colour, edgecolor="black", linewidth=0.5, label=bars[0].method)
    shown = [place for place, spread in zip(places, spreads, strict=True) if spread > 0]
    if shown:
        axes.errorbar(
            shown,
            [v for v, s in zip(values, spreads, strict=True) if s > 0],
            yerr=[s for s in spreads if s > 0],
            fmt="none",
            ecolor="black",
            capsize=2.5,
            linewidth=1.0,
        )
    for place, value, spread in zip(places, values, spreads, strict=True):
        top = min(value + spread, 0.95)
        axes.text(place, top + 0.01, f"{value:.2f}", ha="center", va="bottom", fontsize=7)
