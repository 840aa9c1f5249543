"""``segclr view``: a run in Neuroglancer."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipelines.view import Opened
    from segclr.view.points import NodePoints

__all__ = ["view"]


_MOST_PX = 8192


class ColourName(StrEnum):
    """Values of --color."""

    class_ = "class"
    uncertainty = "uncertainty"
    cluster = "cluster"
    pca = "pca"
    segment = "segment"


def view(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Folder of a run (path or URL).")],
    color: Annotated[
        ColourName | None,
        typer.Option(
            "--color",
            help="What nodes are coloured by; absent: class where predicted, else pca, else segment.",
        ),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option("--table", help="Name of the predictions or clusters, where the run has several."),
    ] = None,
    segment: Annotated[
        list[str] | None, typer.Option("--segment", help="Show this segment alone. May be repeated.")
    ] = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="X,Y,Z", help="Place to look at, in nm; absent: a node.")
    ] = None,
    max_points: Annotated[
        int | None,
        typer.Option(
            "--max-points",
            min=1,
            help="A random sample beyond so many nodes; absent: 1,000,000, with --state 5,000.",
        ),
    ] = None,
    screenshot: Annotated[
        str | None,
        typer.Option("--screenshot", metavar="FILE.png", help="Write a picture and end; needs Chromium."),
    ] = None,
    size: Annotated[
        str, typer.Option("--size", metavar="WxH", help="Of the picture, in pixels, without its legend.")
    ] = "1200x800",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="To listen on; 0: any that is free.")
    ] = 0,
    bind: Annotated[
        str,
        typer.Option("--bind", help="Address to listen on. All who reach it and have the link see the data."),
    ] = "127.0.0.1",
    *,
    state: Annotated[
        bool, typer.Option("--state", help="Print the viewer's state as JSON, for a Neuroglancer elsewhere.")
    ] = False,
    serve_all: Annotated[
        bool,
        typer.Option("--serve", help="Read all volumes here, also where the browser could (no CORS, slow)."),
    ] = False,
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Open no browser; print the link alone.")
    ] = False,
) -> None:
    """Show a run in Neuroglancer.

    EM, segmentation, skeletons and nodes, on this machine alone, until Ctrl-C. Docs: docs/view.md.

    Example: segclr view runs/demo --color pca
    """
    from pipelines.data_server import stop_serving
    from pipelines.inspect import saved_run
    from pipelines.view import open_viewer, standalone_state
    from pipelines.view_points import PointChoice
    from segclr.errors import ConfigError
    from segclr.view.neuroglancer import INLINE_LIMIT

    if state and screenshot is not None:
        msg = "--state and --screenshot exclude each other"
        raise ConfigError(msg)
    if screenshot is not None and not screenshot.lower().endswith(".png"):
        msg = f"--screenshot writes PNG: give a name that ends in .png, not {screenshot}"
        raise ConfigError(msg)
    width_px, height_px = _pixels(size)
    at_nm = None if at is None else _place(at)
    choice = PointChoice(
        colour=None if color is None else color.value,
        table=table,
        segment_ids=tuple(_segment_id(text) for text in segment or ()),
        max_points=max_points or (INLINE_LIMIT if state else 1_000_000),
    )
    wanted = saved_run(run)
    if state:
        value, points, told = standalone_state(wanted, choice, at_nm=at_nm)
        _tell(points, told, to_stderr=True)
        typer.echo(json.dumps(value))
        return
    opened = open_viewer(wanted, choice, at_nm=at_nm, serve_all=serve_all, bind=bind, port=port)
    try:
        _tell(opened.points, opened.told, to_stderr=False)
        if screenshot is not None:
            _write_picture(opened, screenshot, width_px=width_px, height_px=height_px)
        else:
            _wait(opened.viewer.get_viewer_url(), browse=not no_open)
    finally:
        stop_serving()


def _write_picture(opened: Opened, path: str, *, width_px: int, height_px: int) -> None:
    from pipelines.view import screenshot
    from segclr import files

    png, errors = screenshot(opened, width_px=width_px, height_px=height_px)
    files.write_bytes(path, png)
    for error in errors:
        typer.echo(f"the page says: {error}", err=True)
    typer.echo(path)


def _wait(url: str, *, browse: bool) -> None:
    """Until Ctrl-C or a signal that asks to stop: that is how a viewer is meant to end."""
    import threading

    try:
        typer.echo(url)
        if browse:
            _browse(url)
        typer.echo("Ctrl-C ends it", err=True)
        threading.Event().wait()
    except KeyboardInterrupt:  # who reads the URL may be quicker than the line after it
        typer.echo("ended", err=True)


def _browse(url: str) -> None:
    """Open a browser where there is a screen; others would take over the terminal."""
    import os
    import sys
    import webbrowser

    if sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(url)


def _tell(points: NodePoints, told: Iterable[str], *, to_stderr: bool) -> None:
    """The legend, and what is not shown."""
    typer.echo(f"{len(points):,} nodes by {points.colouring.title}", err=to_stderr)
    for entry in points.colouring.legend:
        colours = (
            entry.colours[0] if len(entry.colours) == 1 else f"{entry.colours[0]} to {entry.colours[-1]}"
        )
        typer.echo(f"  {colours}{', white ring' if entry.ringed else ''}  {entry.text}", err=to_stderr)
    for line in told:
        typer.echo(f"note: {line}", err=True)


def _place(text: str) -> tuple[float, float, float]:
    x, y, z = _numbers(text, ",", 3, "--at takes X,Y,Z in nm, such as 12000,8000,4000.5")
    return (x, y, z)


def _pixels(text: str) -> tuple[int, int]:
    from segclr.errors import ConfigError

    allowed = f"--size takes WxH in pixels, 200x200 to {_MOST_PX}x{_MOST_PX}, such as 1200x800"
    width, height = (int(v) for v in _numbers(text, "x", 2, allowed))
    if not (200 <= width <= _MOST_PX and 200 <= height <= _MOST_PX):
        msg = f"{allowed}; got {text!r}"
        raise ConfigError(msg)
    return width, height


def _numbers(text: str, separator: str, n: int, allowed: str) -> list[float]:
    import math

    from segclr.errors import ConfigError

    try:
        numbers = [float(part) for part in text.split(separator)]
    except ValueError:
        numbers = []
    if len(numbers) != n or not all(math.isfinite(v) for v in numbers):
        msg = f"{allowed}; got {text!r}"
        raise ConfigError(msg)
    return numbers


def _segment_id(text: str) -> int:
    from segclr.errors import ConfigError

    if not (text.isascii() and text.isdigit() and 0 < int(text) < 2**64):
        msg = f"--segment takes an id from 1 to {2**64 - 1}, got {text!r}"
        raise ConfigError(msg)
    return int(text)
