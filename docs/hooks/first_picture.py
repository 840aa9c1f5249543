"""The picture of the first page, docs/img/first_page.png: EM, masked cubes, embeddings of a finished run.

python -m docs.hooks.first_picture runs/demo
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

import segclr
from segclr.data.volume import Volume
from segclr.explore import project
from segclr.store.embeddings import EmbeddingTable
from segclr.store.parquet import read_columns, read_folder
from segclr.view.style import class_colours, new_figure, png_bytes, scale_bar

__all__ = ["first_picture"]

VOXEL_NM = (64.0, 64.0, 80.0)
SIZE_VX = 25
RADIUS_UM = 10


def first_picture(run: str, *, seed: int = 0) -> Figure:
    """Three panels of a run on made tissue: a section, cubes by cell type, held-out embeddings."""
    tissue = f"precomputed://file://{Path(run).absolute()}/tissue"
    em = segclr.open_volume(f"{tissue}/em", voxel_size_nm=VOXEL_NM)
    segmentation = segclr.open_volume(f"{tissue}/segmentation", voxel_size_nm=VOXEL_NM)
    cells = read_folder(f"{run}/tissue/cells")
    types = dict(zip(cells["segment_id"].tolist(), cells["cell_type"].tolist(), strict=True))
    figure = new_figure(width_in=9.6, height_in=3.3)
    section, cubes, scatter = figure.subfigures(1, 3, width_ratios=(3, 3.1, 4.2))
    table = segclr.open_embeddings(f"{run}/embeddings").read_all()
    colours = {name: colour for name, (colour, _) in class_colours(sorted(set(types.values()))).items()}
    _draw_section(section, em, segmentation, types=types, colours=colours)
    _draw_cubes(cubes, em, segmentation, table, types=types, seed=seed)
    _draw_scatter(scatter, run, types=types, colours=colours, seed=seed)
    return figure


def _draw_section(
    figure: Figure, em: Volume, segmentation: Volume, *, types: dict[int, str], colours: dict[str, str]
) -> None:
    """A whole section of the first block, each segment in the colour of its cell type."""
    (x0, y0, z0), (x1, y1, z1) = em.bounds.start, em.bounds.stop
    z, side = (z0 + z1) // 2, min(192, x1 - x0, y1 - y0)
    box = segclr.BoundingBox((x0, y0, z), (x0 + side, y0 + side, z + 1))
    grey, labels = em.read(box)[0] / 255, segmentation.read(box)[0]
    image = np.repeat(grey[:, :, None], 3, axis=2)
    for segment_id in np.unique(labels[labels > 0]).tolist():
        inside = labels == segment_id
        image[inside] = image[inside] * (0.65 + 0.35 * np.array(to_rgb(colours[types[segment_id]])))
    axes = figure.subplots()
    axes.imshow(image, interpolation="nearest")
    axes.set_axis_off()
    axes.set_title("EM and segmentation", fontsize=10)
    scale_bar(axes, width_px=side, height_px=side, pixel_nm=VOXEL_NM[0])


def _draw_cubes(
    figure: Figure,
    em: Volume,
    segmentation: Volume,
    table: EmbeddingTable,
    *,
    types: dict[int, str],
    seed: int,
) -> None:
    """The middle section of a masked cube of each cell type."""
    names = sorted(set(types.values()))
    of_node = np.array([types[i] for i in table.segment_ids.tolist()])
    order = np.random.default_rng(seed).permutation(len(table))
    rows = np.array([_fullest(em, segmentation, table, order[of_node[order] == name][:40]) for name in names])
    cubes = segclr.cut_cubes(
        em, segmentation, table.points_nm[rows], table.segment_ids[rows], size_vx=SIZE_VX
    )
    for axes, cube, name in zip(figure.subplots(3, 2).ravel(), cubes, names, strict=False):
        axes.imshow(cube[SIZE_VX // 2], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(name, fontsize=8)
    figure.suptitle("masked cubes: the encoder's input", fontsize=10)


def _fullest(em: Volume, segmentation: Volume, table: EmbeddingTable, rows: NDArray[np.int64]) -> int:
    """The row whose cube is nearest to a third full: something to look at, and not only a soma."""
    cubes = segclr.cut_cubes(
        em, segmentation, table.points_nm[rows], table.segment_ids[rows], size_vx=SIZE_VX
    )
    full = (cubes[:, SIZE_VX // 2] > 0).mean(axis=(1, 2))
    return int(rows[np.abs(full - 1 / 3).argmin()])


def _draw_scatter(
    figure: Figure, run: str, *, types: dict[int, str], colours: dict[str, str], seed: int
) -> None:
    """Principal components of held-out cells, each vector of length 1 and averaged along the neurite."""
    split = read_columns(f"{run}/segments.parquet")
    held_out = split["segment_id"][split["split"] == "held_out"]
    table = segclr.open_embeddings(f"{run}/aggregated/path-{RADIUS_UM}um").read_all()
    table = table.take(np.isin(table.segment_ids, held_out))
    vectors = table.embeddings / np.linalg.norm(table.embeddings, axis=1, keepdims=True)
    projection = project(vectors, seed=seed)
    of_node = np.array([types[i] for i in table.segment_ids.tolist()])
    axes = figure.subplots()
    order = np.random.default_rng(seed).permutation(len(table))
    axes.scatter(
        *projection.coordinates[order].T, c=[colours[of_node[i]] for i in order], s=7, linewidths=0, alpha=0.8
    )
    for name, colour in colours.items():
        axes.scatter([], [], color=colour, s=25, label=name)
    shares = 100 * projection.explained_variance_ratio
    axes.set_xlabel(f"PC 1 ({shares[0]:.0f} %)", fontsize=8)
    axes.set_ylabel(f"PC 2 ({shares[1]:.0f} %)", fontsize=8)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(f"embeddings of {len(held_out)} held-out cells", fontsize=10)
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)


if __name__ == "__main__":
    target = Path(__file__).resolve().parents[1] / "img" / "first_page.png"
    target.write_bytes(png_bytes(first_picture(sys.argv[1]), dpi=100))
