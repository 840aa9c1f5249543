"""Scores: F1 against the aggregation radius, and bars of methods side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from segclr.classify.bootstrap import Interval
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

_DODGE = 0.018  # of the widest radius, between curves


@dataclass(frozen=True, kw_only=True)
class ScoreCurve:
    """A score at several aggregation radii.

    Attributes:
        name: shown in the legend, such as "trained, path".
        radius_um: micrometres, ascending.
        score: 0 to 1, one for each radius.
        intervals: lower and upper bound of each score; None draws none.
        is_baseline: drawn dashed and grey.
    """

    name: str
    radius_um: Sequence[float]
    score: Sequence[float]
    intervals: Sequence[Interval | None] | None = None
    is_baseline: bool = False

    def __post_init__(self) -> None:
        """Refuse lengths that differ."""
        lengths = [len(self.radius_um), len(self.score), len(self.bounds)]
        if len(set(lengths)) > 1:
            msg = f"curve {self.name!r}: numbers of radii, scores and intervals must match, got {lengths}"
            raise DataError(msg)

    @property
    def bounds(self) -> Sequence[Interval | None]:
        """The interval of each score, None where it has none."""
        return [None] * len(self.score) if self.intervals is None else self.intervals


@dataclass(frozen=True, kw_only=True)
class Score:
    """One bar: a method's score on a task, and lower and upper bound of its error bar."""

    task: str
    method: str
    value: float
    interval: Interval | None = None


def figure_f1_against_radius(curves: Sequence[ScoreCurve]) -> Figure:
    """Macro F1 (0 to 1) against the radius of aggregation; names stand in the legend."""
    if not curves:
        msg = "no curve to draw"
        raise DataError(msg)
    figure = new_figure(width_in=6.4, height_in=3.4)
    axes = figure.subplots()
    widest = max(float(r) for curve in curves for r in curve.radius_um)
    n_baselines = 0
    for i, curve in enumerate(curves):
        colour = BASELINE if curve.is_baseline else OKABE_ITO[(i - n_baselines) % len(OKABE_ITO)]
        # Side by side: the bars of curves that share a radius would hide each other.
        places = np.asarray(curve.radius_um, float) + (i - (len(curves) - 1) / 2) * _DODGE * widest
        axes.plot(
            places,
            curve.score,
            color=colour,
            linestyle=("--", ":")[n_baselines % 2] if curve.is_baseline else "-",
            marker=MARKERS[i % len(MARKERS)],
            markersize=5,
            linewidth=1.4,
            label=curve.name,
        )
        _error_bars(axes, places, curve.bounds, colour=colour)
        n_baselines += curve.is_baseline
    axes.set(xlabel="aggregation radius (µm)", ylabel="macro F1", ylim=(0, 1))
    axes.set_xticks(sorted({float(r) for curve in curves for r in curve.radius_um}))
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    tidy(axes)
    return figure


def figure_scores(scores: Sequence[Score], *, ylabel: str = "macro F1") -> Figure:
    """Bars grouped by task, one colour a method, values written above; low ones get an axis of their own."""
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
    axes.set(ylabel=ylabel, ylim=(0, _highest(scores)))
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
    """The curves as long columns: curve, radius_um, score, low, high (NaN: not known)."""
    columns: dict[str, list[str | float]] = {"curve": [], "radius_um": [], "score": [], "low": [], "high": []}
    for curve in curves:
        columns["curve"] += [curve.name] * len(curve.radius_um)
        columns["radius_um"] += [float(r) for r in curve.radius_um]
        columns["score"] += [float(s) for s in curve.score]
        columns["low"] += [_low_high(bounds)[0] for bounds in curve.bounds]
        columns["high"] += [_low_high(bounds)[1] for bounds in curve.bounds]
    return columns


def score_columns(scores: Sequence[Score]) -> dict[str, list[str | float]]:
    """The bars as columns: task, method, value, low, high (NaN: not known)."""
    columns: dict[str, list[str | float]] = {
        name: [getattr(s, name) for s in scores] for name in ("task", "method", "value")
    }
    low_high = [_low_high(s.interval) for s in scores]
    return columns | {"low": [low for low, _ in low_high], "high": [high for _, high in low_high]}


def retrieval_columns(results: Mapping[str, Sequence[RetrievalResult]]) -> dict[str, list[str | float]]:
    """All numbers of each result: encoder and the fields of RetrievalResult, the interval as two."""
    columns: dict[str, list[str | float]] = {}
    for name, found in results.items():
        for result in found:
            values = result.to_dict()
            del values["share_interval"]
            low, high = _low_high(result.share_interval)
            row = {"encoder": name, **values, "share_low": low, "share_high": high}
            for key, value in row.items():
                columns.setdefault(key, []).append(value)
    return columns


def _low_high(interval: Interval | None) -> Interval:
    return (np.nan, np.nan) if interval is None else interval


def _retrieval_scores(results: Mapping[str, Sequence[RetrievalResult]]) -> list[Score]:
    first = next(iter(results.values()), [])
    scores = [Score(task=_beyond(r), method="chance", value=r.chance) for r in first]
    return scores + [
        Score(task=_beyond(r), method=name, value=r.share, interval=r.share_interval)
        for name, found in results.items()
        for r in found
    ]


def _beyond(result: RetrievalResult) -> str:
    return f"neighbours ≥ {result.exclusion_nm:g} nm away"


def _method_colours(methods: Sequence[str]) -> dict[str, str]:
    """A colour for each method: the same in every figure for the encoders all figures compare."""
    fixed = {"chance": BASELINE, "untrained": OKABE_ITO[5], "trained": OKABE_ITO[0]}
    others = iter(OKABE_ITO[1:5] * len(methods))
    return {method: fixed.get(method) or next(others) for method in methods}


def _text(value: float) -> str:
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def _highest(scores: Sequence[Score]) -> float:
    """Upper end of the axis: 1, unless everything lies in its lowest third."""
    highest = max(max(s.value, s.interval[1] if s.interval else 0.0) for s in scores)
    return 1.0 if highest > 1 / 3 else max(1.2 * highest, 1e-3)


def _bars(axes: Axes, places: list[float], bars: list[Score], *, width: float, colour: str) -> None:
    values = [b.value for b in bars]
    axes.bar(places, values, width, color=colour, edgecolor="black", linewidth=0.5, label=bars[0].method)
    _error_bars(axes, places, [b.interval for b in bars], colour="black")
    for place, bar in zip(places, bars, strict=True):
        top = max(bar.value, bar.interval[1] if bar.interval else 0.0)
        axes.annotate(
            _text(bar.value), (place, top), (0, 2), textcoords="offset points", ha="center", fontsize=7
        )


def _error_bars(axes: Axes, places: ArrayLike, intervals: Sequence[Interval | None], *, colour: str) -> None:
    """From lower to upper bound, wherever the score itself lies: a percentile interval need not hold it."""
    low_high = np.array([_low_high(interval) for interval in intervals]).T
    axes.errorbar(
        places,
        low_high.mean(axis=0),
        yerr=(low_high[1] - low_high[0]) / 2,
        fmt="none",
        ecolor=colour,
        capsize=2.5,
        linewidth=1.0,
    )
