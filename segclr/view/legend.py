"""A legend below a picture: what a viewer's colours mean, so that the picture can stand alone."""

from __future__ import annotations

import io
from collections.abc import Sequence

from matplotlib.image import imread
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D

from segclr.view.points import LegendEntry
from segclr.view.style import new_figure, png_bytes

__all__ = ["with_legend"]

_DPI = 100
_LINE_PX = 22
_MARGIN_PX = 12


def with_legend(png: bytes, legend: Sequence[LegendEntry], *, title: str) -> bytes:
    """The picture, pixel by pixel, with a strip below it that says what its colours mean.

    Args:
        png: any picture.
        legend: its entries, two or more in a line where they fit.
        title: what they are about.
    """
    image = imread(io.BytesIO(png), format="png")
    height, width = image.shape[:2]
    longest = max(len(entry.text) + 2 * len(entry.colours) for entry in legend)
    columns = max(1, min(len(legend), width // (8 * longest + 60)))
    strip = _LINE_PX * (1 - (-len(legend) // columns)) + _MARGIN_PX
    figure = new_figure(width_in=width / _DPI, height_in=(height + strip) / _DPI)
    figure.set_layout_engine("none")
    figure.figimage(image, xo=0, yo=strip)
    handles = [tuple(_marker(colour, ringed=entry.ringed) for colour in entry.colours) for entry in legend]
    figure.legend(
        handles=handles,
        labels=[entry.text for entry in legend],
        title=title,
        ncols=columns,
        loc="upper left",
        bbox_to_anchor=(0.0, strip / (height + strip)),
        handler_map={tuple: HandlerTuple(ndivide=None, pad=0)},
        handlelength=max(1.2 * len(entry.colours) for entry in legend),
        fontsize=9,
        title_fontsize=9,
        alignment="left",
        frameon=False,
        borderaxespad=0.2,
    )
    return png_bytes(figure, dpi=_DPI)


def _marker(colour: str, *, ringed: bool) -> Line2D:
    """The point as the viewer draws it, on its grey."""
    return Line2D(
        [],
        [],
        linestyle="",
        marker="o",
        markersize=7,
        markerfacecolor=colour,
        markeredgecolor="#999999" if ringed else "black",
        markeredgewidth=2.0 if ringed else 0.8,
        fillstyle="full",
    )
