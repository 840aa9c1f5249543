"""The report of a run: one HTML file that holds everything, figures and their numbers included."""

from __future__ import annotations

import base64
import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from segclr import files
from segclr.errors import DataError
from segclr.view.style import png_bytes

__all__ = ["Illustration", "Section", "Table", "columns_to_csv", "render_report", "write_report"]

_SCREEN_DPI = 96  # CSS pixels to an inch
_PRINT_DPI = 160  # sharp enough in print, and still small

Cell = str | int | float
Columns = Mapping[str, Sequence[Any] | NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Illustration:
    """A figure with what a reader needs beside it.

    Attributes:
        name: short; becomes the name of the CSV file.
        figure: what to show.
        caption: what is shown and how to read it.
        alt: the message in words, for those who cannot see the figure.
        columns: the numbers behind it, columns of one length; empty gives no link.
    """

    name: str
    figure: Figure
    caption: str
    alt: str
    columns: Columns


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table; floats are shown with three decimals, integers as they are.

    Attributes:
        caption: what it shows.
        header: name of each column.
        rows: cells, as many in each row as the header has.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def __post_init__(self) -> None:
        """Refuse ragged rows."""
        wrong = [i for i, row in enumerate(self.rows) if len(row) != len(self.header)]
        if wrong:
            msg = f"table {self.caption!r}: rows {wrong[:5]} do not have {len(self.header)} cells"
            raise DataError(msg)


@dataclass(frozen=True)
class Section:
    """A heading, then paragraphs, tables and figures."""

    title: str
    paragraphs: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Illustration] = ()


def write_report(
    url: str,
    *,
    title: str,
    sections: Sequence[Section],
    facts: Mapping[str, str] | None = None,
    warnings: Sequence[str] = (),
    configuration: str = "",
) -> None:
    """Write the report as one HTML file; the same input gives the same bytes.

    Args:
        url: of the file, such as ``run/report/index.html``.
        title: heading and title of the page.
        sections: in reading order.
        facts: of the run, shown at the top: version, seed, encoder and so on.
        warnings: what a reader must know before believing any figure; shown above all else.
        configuration: the resolved YAML, shown at the end.

    Raises:
        DataError: the columns of a figure differ in length.
    """
    html = render_report(
        title=title, sections=sections, facts=facts, warnings=warnings, configuration=configuration
    )
    files.write_bytes(url, html.encode())


def render_report(
    *,
    title: str,
    sections: Sequence[Section],
    facts: Mapping[str, str] | None = None,
    warnings: Sequence[str] = (),
    configuration: str = "",
) -> str:
    """The HTML of :func:`write_report`; every text in it is escaped."""
    source = resources.files("segclr.view").joinpath("report.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    shown, first = [], 1
    for section in sections:
        shown.append(
            {
                "title": section.title,
                "paragraphs": section.paragraphs,
                "tables": [_table(table) for table in section.tables],
                "figures": [_figure(f, number=i) for i, f in enumerate(section.figures, start=first)],
            }
        )
        first += len(section.figures)
    return environment.from_string(source).render(
        title=title,
        facts=list((facts or {}).items()),
        warnings=warnings,
        sections=shown,
        appendix=configuration,
    )


def columns_to_csv(columns: Columns) -> str:
    """Columns as CSV text; ids and counts stay exact integers.

    Raises:
        DataError: the columns differ in length.
    """
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        msg = f"columns must have one length, got {lengths}"
        raise DataError(msg)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    # .tolist() makes plain Python values, which csv writes exactly (a NumPy scalar may not).
    plain = [v.tolist() if isinstance(v, np.ndarray) else v for v in columns.values()]
    writer.writerows(zip(*plain, strict=True))
    return buffer.getvalue()


def _figure(illustration: Illustration, *, number: int) -> dict[str, Any]:
    width, height = illustration.figure.get_size_inches() * _SCREEN_DPI
    stem = re.sub(r"[^a-z0-9]+", "-", illustration.name.lower()).strip("-") or "figure"
    return {
        "number": number,
        "image": _data_uri(png_bytes(illustration.figure, dpi=_PRINT_DPI), kind="image/png"),
        "width": round(width),
        "height": round(height),
        "alt": illustration.alt,
        "caption": illustration.caption,
        "file": f"{stem}.csv",
        "data": _data_uri(columns_to_csv(illustration.columns).encode(), kind="text/csv;charset=utf-8")
        if illustration.columns
        else "",
    }


def _table(table: Table) -> dict[str, Any]:
    numeric = [
        bool(table.rows) and all(isinstance(row[i], int | float | np.number) for row in table.rows)
        for i in range(len(table.header))
    ]
    return {
        "caption": table.caption,
        "header": list(zip(table.header, numeric, strict=True)),
        "rows": [
            [(_text(cell), is_number) for cell, is_number in zip(row, numeric, strict=True)]
            for row in table.rows
        ],
    }


def _text(cell: Cell) -> str:
    if isinstance(cell, float | np.floating):
        return "–" if np.isnan(cell) else f"{cell:.3f}"
    return str(cell)


def _data_uri(content: bytes, *, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
