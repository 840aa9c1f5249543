"""The look of all figures: colours the colour-blind can tell apart, plain axes, no global state."""

from __future__ import annotations

import io
from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

__all__ = ["BASELINE", "MARKERS", "OKABE_ITO", "class_colours", "new_figure", "png_bytes", "tidy"]

# Okabe & Ito 2008, https://jfly.uni-koeln.de/color/ ; yellow last, it is faint on white paper.
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
BASELINE = "#7F7F7F"

_DPI = 150


def new_figure(*, width_in: float, height_in: float) -> Figure:
    """An empty figure that belongs to nobody: no pyplot, no window."""
    figure = Figure(figsize=(width_in, height_in), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def tidy(axes: Axes) -> Axes:
    """Two spines, a light grid behind the data, small ticks."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, axis="y", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, length=3)
    axes.xaxis.label.set_fontsize(9)
    axes.yaxis.label.set_fontsize(9)
    axes.title.set_fontsize(9)
    return axes


def class_colours(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each class; beyond eight classes colours repeat with another marker."""
    n = len(OKABE_ITO)
    return {
        name: (OKABE_ITO[i % n], MARKERS[(i + i // n) % n]) for i, name in enumerate(dict.fromkeys(names))
    }


def png_bytes(figure: Figure, *, dpi: int = _DPI) -> bytes:
    """The figure as PNG; equal figures give equal bytes (no date, no version inside)."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def round_length_nm(width_nm: float) -> float:
    """A round length (1, 2 or 5 times a power of ten) of about a quarter of a width, in nanometres."""
    target = width_nm / 3.0
    decade = 10.0 ** np.floor(np.log10(target))
    return float(decade * max(step for step in (1.0, 2.0, 5.0) if step * decade <= target))


def scale_bar(axes: Axes, *, width_px: int, height_px: int, pixel_nm: float) -> None:
    """A labelled bar of round length in the lower left corner of an image drawn in pixels."""
    length_nm = round_length_nm(width_px * pixel_nm)
    text = f"{length_nm / 1000:g} µm" if length_nm >= 1000 else f"{length_nm:g} nm"
    left, bottom = 0.05 * width_px - 0.5, 0.95 * height_px - 0.5
    right = left + length_nm / pixel_nm
    axes.plot([left, right], [bottom, bottom], color="black", linewidth=4.5, solid_capstyle="butt")
    axes.plot([left, right], [bottom, bottom], color="white", linewidth=2.5, solid_capstyle="butt")
    box = {"facecolor": "black", "alpha": 0.6, "edgecolor": "none", "pad": 1.5}
    axes.text(
        left, bottom - 0.04 * height_px, text, color="white", fontsize=7, ha="left", va="bottom", bbox=box
    )
