"""A run in Neuroglancer: in a browser, as a state for another viewer, or as a picture."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipelines.browser import Browser
from pipelines.data_server import Served, serve
from pipelines.run import Run
from pipelines.view_points import PointChoice, read_points
from pipelines.view_skeletons import ServedSkeletons, skeletons_url
from pipelines.view_volumes import Which, direct_source, served_volume, volume_url
from segclr import files
from segclr.errors import ConfigError, UnreachableError
from segclr.view.legend import with_legend
from segclr.view.neuroglancer import Scene, inline_points, viewer_state
from segclr.view.points import NodePoints
from segclr.view.served_points import ALL_DRAWN, ServedPoints

if TYPE_CHECKING:
    import neuroglancer

__all__ = ["N_SELECTED", "Opened", "open_viewer", "screenshot", "standalone_state"]

N_SELECTED = 20
"""Segments that are selected where none are named: more skeletons at once hide each other."""

_CUBES_WIDE = 4
_PICTURE_S = 180.0
_LOOK_S = 2.0

Place = tuple[float, float, float]


@dataclass(frozen=True)
class Opened:
    """A viewer that waits for browsers.

    Attributes:
        viewer: Neuroglancer's; its state may be read and changed.
        points: what its points are, with their legend.
        told: what is not shown, and why.
    """

    viewer: neuroglancer.Viewer
    points: NodePoints
    told: tuple[str, ...]


def open_viewer(
    run: Run,
    choice: PointChoice,
    *,
    at_nm: Place | None = None,
    serve_all: bool = False,
    bind: str = "127.0.0.1",
    port: int = 0,
) -> Opened:
    """Serve a run to a browser on this machine.

    Args:
        run: with nodes.
        choice: of the points.
        at_nm: place (x, y, z) to look at; None: a node of the largest segment.
        serve_all: also volumes that a browser could read from their own URL.
        bind: address to listen on.
        port: to listen on; 0: any that is free.

    Raises:
        ConfigError: Neuroglancer is not installed, or the port cannot be had.
        MissingDataError: the run lacks what shall be shown.
        VolumeError: a volume cannot be opened.
    """
    try:
        import neuroglancer
    except ImportError as error:
        msg = "a viewer needs the extra view: pip install 'segclr[view]'"
        raise ConfigError(msg) from error
    points, told = _read(run, choice, at_nm)
    things: dict[str, Served] = {"nodes": ServedPoints(points)}
    direct: dict[str, str] = {}
    for which in _volumes(run):
        source = None if serve_all else direct_source(run, which)
        if source is None:
            things[which] = served_volume(run, which)
        else:
            direct[which] = source
    skeletons = ServedSkeletons.of_run(run)
    if skeletons is not None:
        things["skeletons"] = skeletons
    else:
        told = [*told, "the run has no skeletons yet; they are not shown"]
    if len(points) > ALL_DRAWN:
        told = [*told, "zoomed out, Neuroglancer draws a share of so many points, and all of them nearer by"]
    urls = serve(things, bind=bind, port=port)
    sources = {name: f"precomputed://{url}" for name, url in urls.items()} | direct
    viewer = neuroglancer.Viewer(allow_credentials=False)  # nobody's keys are handed to a page
    viewer.set_state(_state(run, points, choice, sources, sources["nodes"], at_nm=at_nm))
    return Opened(viewer, points, tuple(told))


def standalone_state(
    run: Run, choice: PointChoice, *, at_nm: Place | None = None
) -> tuple[dict[str, Any], NodePoints, list[str]]:
    """A state for a Neuroglancer elsewhere: volumes by their own URLs, points within.

    Returns:
        The state, its points with their legend, and what to know of it.
    """
    points, told = _read(run, choice, at_nm)
    sources: dict[str, str] = {which: volume_url(run, which) for which in _volumes(run)}
    skeletons = skeletons_url(run)
    if skeletons is not None:
        sources["skeletons"] = skeletons
    else:
        told.append("skeletons are left out: they have no URL that Neuroglancer reads")
    for name, url in sources.items():
        scheme, _, place = url.partition("://")
        if files.is_local(place):
            told.append(f"a browser cannot read {url} ({name}): put it where one can, and change the URL")
        elif scheme in ("zarr", "n5"):
            told.append(
                f"Neuroglancer may show {url} ({name}) half a voxel beside the points: it takes translations "
                "as places of voxels' centres"
            )
    return _state(run, points, choice, sources, inline_points(points), at_nm=at_nm), points, told


def screenshot(opened: Opened, *, width_px: int = 1200, height_px: int = 800) -> tuple[bytes, list[str]]:
    """A picture of an opened viewer with its legend, by a headless browser, once all is loaded.

    Returns:
        PNG, ``width_px`` wide, and the errors that the page wrote to its console.

    Raises:
        ConfigError: there is no Chromium on this machine.
        UnreachableError: the page did not load everything in time, or a layer not at all.
    """
    viewer, done, taken = opened.viewer, threading.Event(), []

    def take(reply: Any) -> None:
        taken.append(reply.screenshot.image)
        done.set()

    with viewer.config_state.txn() as config:
        config.show_ui_controls = False
        config.show_panel_borders = False
        config.viewer_size = [width_px, height_px]
    with viewer.txn() as state:
        state.selected_layer.visible = False  # its controls would cover a part
    with Browser(viewer.get_viewer_url(), width_px=width_px, height_px=height_px) as page:
        viewer.async_screenshot(take)
        _wait_for(done, page)
        errors = list(page.errors)
    colouring = opened.points.colouring
    title = f"{len(opened.points):,} nodes by {colouring.title}"
    return with_legend(taken[0], colouring.legend, title=title), errors


def _wait_for(done: threading.Event, page: Browser) -> None:
    """Until a picture is taken; Neuroglancer waits for ever for a layer that has failed."""
    end_s = time.monotonic() + _PICTURE_S
    while True:
        taken = done.wait(_LOOK_S)
        if failed := page.evaluate(_FAILED_LAYERS):
            msg = f"Neuroglancer cannot load {'; '.join(failed)}"
            raise UnreachableError(msg)
        if taken:
            return
        if time.monotonic() > end_s:
            told = "; ".join(page.errors) or "nothing"
            msg = f"not all was loaded within {_PICTURE_S:g} s; the page's console has: {told}"
            raise UnreachableError(msg)


_FAILED_LAYERS = """viewer.layerManager.managedLayers.flatMap(({name, layer}) => [
  ...layer.dataSources.map(source => source.loadState?.error),
  layer.displayState?.shaderError?.value, layer.annotationDisplayState?.shaderError?.value,
].filter(error => error).map(error => name + ': ' + (error.message ?? error)))"""
"""Sources that cannot be read and shaders that cannot be compiled, of which the console may say nothing."""


def _read(run: Run, choice: PointChoice, at_nm: Place | None) -> tuple[NodePoints, list[str]]:
    """The points; a place far from all of them is told, as one in voxels may be."""
    points, told = read_points(run, choice)
    if at_nm is not None:
        low, high = points.points_nm.min(axis=0), points.points_nm.max(axis=0)
        if (np.asarray(at_nm) < low).any() or (np.asarray(at_nm) > high).any():
            box = " to ".join(
                "(" + ", ".join(f"{v:.0f}" for v in corner.tolist()) + ")" for corner in (low, high)
            )
            told.append(f"the place {at_nm} lies beyond all nodes, which are at {box} nm (x, y, z)")
    return points, told


def _volumes(run: Run) -> list[Which]:
    return ["segmentation"] if run.volume.em is None else ["em", "segmentation"]


def _state(
    run: Run,
    points: NodePoints,
    choice: PointChoice,
    sources: dict[str, str],
    points_source: str | dict[str, Any],
    *,
    at_nm: Place | None,
) -> dict[str, Any]:
    selected = _selected(points, choice, at_nm)
    shown = points.points_nm[np.isin(points.segment_ids, selected)].astype(np.float64)
    center = np.asarray(_middle(shown) if at_nm is None else at_nm, dtype=np.float64)
    x, y, z = center.tolist()
    size = run.volume.voxel_size_nm
    extent_nm = 2 * float(np.abs(shown - center).max())
    cube_nm = run.config.cubes.size_vx * size[0]
    scene = Scene(
        title=f"{run.config.name} - segclr",
        voxel_size_nm=size,
        center_nm=(x, y, z),
        width_nm=float(np.clip(extent_nm, cube_nm, _CUBES_WIDE * cube_nm)),
        extent_nm=max(extent_nm, cube_nm),
        em=sources.get("em"),
        segmentation=sources["segmentation"],
        skeletons=sources.get("skeletons"),
        segment_ids=selected,
        points=points,
        points_source=points_source,
        grey_range=run.volume.grey_range if sources.get("em") == run.volume.em else None,
    )
    return viewer_state(scene)


def _selected(points: NodePoints, choice: PointChoice, at_nm: Place | None) -> NDArray[np.uint64]:
    """Segments to select: those named, else the ones nearest to the place, else those with most nodes."""
    if choice.segment_ids:
        return np.array(choice.segment_ids, dtype=np.uint64)
    ids, segment, counts = np.unique(points.segment_ids, return_inverse=True, return_counts=True)
    if at_nm is None:
        return ids[np.argsort(-counts, kind="stable")][:N_SELECTED]
    nearest = np.full(len(ids), np.inf)
    np.minimum.at(nearest, segment.reshape(-1), np.linalg.norm(points.points_nm - np.array(at_nm), axis=1))
    return ids[np.argsort(nearest, kind="stable")][:N_SELECTED]


def _middle(points_nm: NDArray[np.float64]) -> NDArray[np.float64]:
    """The node nearest to the middle of the box that holds them all: a node, so that a segment is there."""
    middle = (points_nm.min(axis=0) + points_nm.max(axis=0)) / 2
    return points_nm[np.linalg.norm(points_nm - middle, axis=1).argmin()]
