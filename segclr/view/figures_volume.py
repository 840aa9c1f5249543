"""Pictures of the data itself: a section, EM slices with the segment's outline, and the masked cubes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from segclr.errors import DataError
from segclr.view.style import OKABE_ITO, new_figure, scale_bar

__all__ = ["SliceView", "figure_cubes", "figure_section", "figure_slices"]

_OUTLINE = OKABE_ITO[1]
_TINT = 0.18  # opacity: the EM below must stay readable
_SEGMENT_TINT = 0.55
_SEGMENT_COLOURS = tuple(colour for colour in OKABE_ITO if colour != "#000000")  # black would hide the EM
_MAX_COLUMNS = 4


@dataclass(frozen=True)
class SliceView:
    """One EM slice around a node.

    Attributes:
        em_yx: uint8 [y, x].
        mask_yx: bool [y, x], the node's own segment.
        pixel_nm: size (x, y) of a pixel in nanometres.
        title: shown above, such as the class and the segment id.
    """

    em_yx: NDArray[np.uint8]
    mask_yx: NDArray[np.bool_]
    pixel_nm: tuple[float, float]
    title: str

    def __post_init__(self) -> None:
        """Refuse a mask of another shape."""
        if self.em_yx.ndim != 2 or self.em_yx.shape != self.mask_yx.shape:
            msg = f"slice and mask must be [y, x] of one shape, got {self.em_yx.shape}, {self.mask_yx.shape}"
            raise DataError(msg)


def figure_slices(views: Sequence[SliceView]) -> Figure:
    """EM slices, the node's segment tinted and outlined, with a cross at the centre and a scale bar."""
    if not views:
        msg = "no slice to draw"
        raise DataError(msg)
    n_columns = min(_MAX_COLUMNS, len(views))
    n_rows = -(-len(views) // n_columns)
    figure = new_figure(width_in=2.3 * n_columns, height_in=2.5 * n_rows)
    grid = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for axes, view in zip(grid, views, strict=False):
        height, width = view.em_yx.shape
        _image(axes, view.em_yx, pixel_nm=view.pixel_nm)
        tint = np.zeros((height, width, 4))
        tint[view.mask_yx] = (*to_rgb(_OUTLINE), _TINT)
        axes.imshow(tint, interpolation="nearest", aspect=view.pixel_nm[1] / view.pixel_nm[0])
        if view.mask_yx.any() and not view.mask_yx.all():
            axes.contour(view.mask_yx, levels=[0.5], colors=_OUTLINE, linewidths=1.2)
        axes.plot((width - 1) / 2, (height - 1) / 2, "+", color=OKABE_ITO[7], markersize=7)
        scale_bar(axes, width_px=width, height_px=height, pixel_nm=view.pixel_nm[0])
        axes.set_title(view.title, fontsize=8)
    for axes in grid[len(views) :]:
        axes.set_axis_off()
    return figure


def figure_section(
    em_yx: NDArray[np.uint8], segmentation_yx: NDArray[np.unsignedinteger], *, pixel_nm: tuple[float, float]
) -> Figure:
    """A section as it is stored: EM, and beside it the same with its segments in colour.

    Seven colours are dealt to the segments, so two that touch may share one; white lines part them all.

    Args:
        em_yx: uint8 [y, x].
        segmentation_yx: ids [y, x], 0 where there is no segment.
        pixel_nm: size (x, y) of a pixel in nanometres.
    """
    if em_yx.ndim != 2 or em_yx.shape != segmentation_yx.shape or em_yx.size == 0:
        msg = f"EM and ids must be [y, x] of one shape, got {em_yx.shape}, {segmentation_yx.shape}"
        raise DataError(msg)
    height, width = em_yx.shape
    numbers = np.unique(segmentation_yx, return_inverse=True)[1].reshape(em_yx.shape)
    colours = np.array([to_rgb(c) for c in _SEGMENT_COLOURS])[numbers % len(_SEGMENT_COLOURS)]
    tint = np.dstack([colours, np.where(segmentation_yx == 0, 0.0, _SEGMENT_TINT)])
    parts = np.zeros(em_yx.shape, dtype=bool)
    parts[:, 1:] |= numbers[:, 1:] != numbers[:, :-1]
    parts[1:] |= numbers[1:] != numbers[:-1]
    tint[parts] = (1.0, 1.0, 1.0, 0.8)
    aspect = pixel_nm[1] / pixel_nm[0]
    figure = new_figure(width_in=8.4, height_in=4.2 * aspect * height / width + 0.4)
    for axes, title in zip(figure.subplots(1, 2), ("EM", "segmentation"), strict=True):
        _image(axes, em_yx, pixel_nm=pixel_nm)
        scale_bar(axes, width_px=width, height_px=height, pixel_nm=pixel_nm[0])
        axes.set_title(title, fontsize=9)
    axes.imshow(tint, interpolation="nearest", aspect=aspect)
    return figure


def figure_cubes(
    cubes: NDArray[np.uint8] | Sequence[NDArray[np.uint8]],
    *,
    voxel_size_nm: tuple[float, float, float],
    titles: Sequence[str],
) -> Figure:
    """Central slices of masked cubes, as the encoder sees them: one column a cube; rows xy, xz, yz.

    Cubes may be of several sizes; then each has a scale bar of its own.

    Args:
        cubes: uint8 [n, z, y, x], or n arrays [z, y, x].
        voxel_size_nm: (x, y, z).
        titles: one for each cube.
    """
    shapes = [cube.shape for cube in cubes]
    if len(cubes) == 0 or len(cubes) != len(titles) or any(len(shape) != 3 for shape in shapes):
        msg = f"cubes must be [n, z, y, x] with one title each, got {shapes} and {len(titles)} titles"
        raise DataError(msg)
    x_nm, y_nm, z_nm = voxel_size_nm
    # Across, down: names of the axes and sizes of a pixel along them.
    planes = (("x", "y", x_nm, y_nm), ("x", "z", x_nm, z_nm), ("y", "z", y_nm, z_nm))
    figure = new_figure(width_in=1.5 * max(3, len(cubes)) + 0.3, height_in=4.9)
    grid = figure.subplots(3, len(cubes), squeeze=False)
    for column, (cube, title) in enumerate(zip(cubes, titles, strict=True)):
        z, y, x = (size // 2 for size in cube.shape)
        slices = (cube[z], cube[:, y], cube[:, :, x])
        for row, (image, (across, down, across_nm, down_nm)) in enumerate(zip(slices, planes, strict=True)):
            axes = grid[row, column]
            _image(axes, image, pixel_nm=(across_nm, down_nm))
            if column == 0:
                axes.set_ylabel(f"{across} → , {down} ↓", fontsize=8)
            if column == 0 or len(set(shapes)) > 1:
                scale_bar(axes, width_px=image.shape[1], height_px=image.shape[0], pixel_nm=across_nm)
        grid[0, column].set_title(title, fontsize=7)
    return figure


def _image(axes: Axes, image: NDArray[np.uint8], *, pixel_nm: tuple[float, float]) -> None:
    axes.imshow(
        image, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect=pixel_nm[1] / pixel_nm[0]
    )
    axes.set_xticks([])
    axes.set_yticks([])
