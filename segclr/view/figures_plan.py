"""What a run will take, stage by stage."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from segclr.errors import DataError
from segclr.plan.row import Row
from segclr.view.style import OKABE_ITO, new_figure, tidy

__all__ = ["figure_core_hours"]

_END = "_core_hours"


def figure_core_hours(rows: Sequence[Row]) -> Figure:
    """Core-hours of each stage of a plan, on a logarithmic axis; lines reach from low to high.

    Points and no bars: the length of a bar on such an axis means nothing.

    Args:
        rows: of a plan; those of stages are taken from them.

    Raises:
        DataError: no stage has core-hours above 0.
    """
    stages = [
        (row.key.removesuffix(_END).replace("_", " "), row.value)
        for row in rows
        if row.section == "time" and row.key.endswith(_END) and row.value is not None
    ]
    stages = [(name, value) for name, value in stages if value.expected > 0]
    if not stages:
        msg = f"none of {len(rows)} rows tells core-hours of a stage"
        raise DataError(msg)
    figure = new_figure(width_in=6.4, height_in=0.9 + 0.34 * len(stages))
    axes = figure.subplots()
    expected = [value.expected for _, value in stages]
    places = range(len(stages))
    low, high = ([getattr(value, end) for _, value in stages] for end in ("low", "high"))
    axes.hlines(places, [max(v, 1e-9) for v in low], high, color=OKABE_ITO[0], linewidth=1.6)
    axes.plot(expected, places, "o", color=OKABE_ITO[0], markersize=6)
    for place, hours in enumerate(expected):
        text = f"{hours:,.0f}" if hours >= 100 else f"{hours:.2g}"
        axes.annotate(
            text,
            (max(hours, high[place]), place),
            (6, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        )
    axes.set_xscale("log")
    axes.set_xlim(min(*low, *expected) / 5, 10 * max(high))
    axes.set_ylim(len(stages) - 0.5, -0.5)  # in the order of the run
    axes.set_yticks(places, [name for name, _ in stages])
    axes.set_xlabel("core-hours")
    tidy(axes)
    return figure
