"""``segclr plan``: what a run will need, from metadata alone or a sample of its blocks; writes nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from pipelines.given_encoder import follow_encoder
from pipelines.nodes import place_nodes
from pipelines.packaged import packaged_rates
from pipelines.run import Run
from pipelines.segment_ids import read_segment_ids
from segclr import files
from segclr._version import __version__
from segclr.config import NodeConfig, RunConfig, TissueConfig
from segclr.data.nodes import NodeTable
from segclr.data.skeleton import Skeleton, edge_lengths_nm
from segclr.data.skeletonize import skeletonize_array
from segclr.data.volume import Volume
from segclr.errors import ConfigError, CubeError, MissingDataError
from segclr.geometry import BoundingBox, Triple, voxels_of_points
from segclr.plan import (
    BlockSample,
    Content,
    Extent,
    Rates,
    Row,
    assumed_content,
    cost_rows,
    load_rates,
    not_counted,
    sampled_content,
)
from segclr.store.parquet import read_folder

__all__ = ["Plan", "draw_blocks", "plan_run", "plan_table", "plan_tree", "sample_blocks", "volume_extents"]

Skeletons = Iterable[Skeleton]


@dataclass(frozen=True)
class Plan:
    """What a run will need.

    Attributes:
        config: of the run.
        rows: every quantity with its unit and source.
        machine: where the rates were measured.
    """

    config: RunConfig
    rows: tuple[Row, ...]
    machine: str

    def __getitem__(self, key: str) -> Row:
        """The row of a key."""
        return next(row for row in self.rows if row.key == key)


def plan_run(config: RunConfig, *, n_samples: int = 0, seed: int = 0) -> Plan:
    """Plan a run.

    Args:
        config: of the run; its volume may be made tissue that is not made yet.
        n_samples: blocks of work to look into, at most all; 0: metadata alone, no voxel is read.
        seed: of the draw.

    Raises:
        MissingDataError: there is no volume, or a sample was asked of tissue that is not made yet.
        VolumeError: the volumes cannot be used.
        CubeError: a cube does not fit into the volume.
        ConfigError: a rate is neither measured nor set, the number of samples is below 0, or the
            configuration does not fit the finished encoder it names.
        EncoderError: that encoder cannot be understood.
    """
    from segclr.model.flops import gflop_per_cube

    if n_samples < 0:
        msg = f"the number of sampled blocks must be 0 or more, got {n_samples}"
        raise ConfigError(msg)
    config = follow_encoder(config)
    run = _run(config)
    if config.nodes.ids is not None:
        read_segment_ids(config.nodes.ids)  # what a run could not read is told now
    em, segmentation = volume_extents(run)
    rates = _rates(config)
    if n_samples:
        content = _sampled(run, segmentation, n_samples=n_samples, seed=seed)
    else:
        content = assumed_content(segmentation, config)
    gflop = gflop_per_cube(config.encoder, size_vx=config.cubes.size_vx)
    rows = cost_rows(
        config, em=em, segmentation=segmentation, content=content, rates=rates, gflop_per_cube=gflop
    )
    return Plan(config, tuple(rows), rates.measured.machine)


def _run(config: RunConfig) -> Run:
    """The run, whose folder need not be there and is not touched."""
    local = files.is_local(config.run)
    return Run(str(files.local_path(config.run).absolute()) if local else config.run, config)


def _rates(config: RunConfig) -> Rates:
    return load_rates(config.plan.rates_url or packaged_rates(), config.plan.rates)


def volume_extents(run: Run) -> tuple[Extent | None, Extent]:
    """EM, if any, and segmentation as their metadata tell, or as the tissue will be; no voxel is read.

    Raises:
        MissingDataError: there is no volume.
        VolumeError: the volumes cannot be used.
        CubeError: a cube does not fit into the volume.
        ConfigError: ``nodes.box_nm`` lies beyond the volume.
    """
    config = run.config
    if config.volume is None and config.tissue is not None:
        em, segmentation = _tissue_extents(config.tissue, size_vx=config.cubes.size_vx)
    elif run.volume.em is None:
        return None, _in_box(_extent(run.open_segmentation()), config.nodes)
    else:
        em, segmentation = (_extent(volume) for volume in run.open_volumes())
    return _in_box(em, config.nodes), _in_box(segmentation, config.nodes)


def _in_box(extent: Extent, nodes: NodeConfig) -> Extent:
    """The extent with the voxels that ``nodes.box_nm`` touches as its region."""
    if nodes.box_nm is None:
        return extent
    low, high = np.asarray(nodes.box_nm) / extent.voxel_size_nm
    box = BoundingBox(np.floor(low).astype(int), np.ceil(high).astype(int)).intersect(extent.bounds)
    if not box.n_voxels:
        msg = (
            f"nodes.box_nm {nodes.box_nm} lies beyond the volume, whose voxels are {extent.bounds.start} to "
            f"{extent.bounds.stop} of {extent.voxel_size_nm} nm"
        )
        raise ConfigError(msg)
    return replace(extent, region=box)


def _extent(volume: Volume) -> Extent:
    reduced = math.prod(getattr(volume.source, "factor", (1, 1, 1)))  # finer voxels behind each
    n_bytes = volume.dtype.itemsize * reduced
    return Extent(volume.bounds, volume.voxel_size_nm, volume.chunk_size_vx, n_bytes)


def _tissue_extents(tissue: TissueConfig, *, size_vx: int) -> tuple[Extent, Extent]:
    from segclr.data.neuropil.write import chunk_size

    width, height, depth = tissue.block_size_vx
    size: Triple = (width * tissue.n_blocks, height, depth)
    if min(size) < size_vx:
        msg = (
            f"a cube of {size_vx} voxels does not fit into the tissue, which has {size} voxels (x, y, z); "
            f"set cubes.size_vx to {min(size)} or less"
        )
        raise CubeError(msg)
    start = tissue.offset_vx
    box = BoundingBox(start, tuple(a + n for a, n in zip(start, size, strict=True)))  # type: ignore[arg-type]
    chunk = chunk_size(tissue.block_size_vx)
    return (
        Extent(box, tissue.voxel_size_nm, chunk, np.dtype(np.uint8).itemsize),
        Extent(box, tissue.voxel_size_nm, chunk, np.dtype(np.uint64).itemsize),
    )


def _sampled(run: Run, extent: Extent, *, n_samples: int, seed: int) -> Content:
    block_vx = run.config.cubes.block_vx
    n_blocks = replace(extent, bounds=extent.box, region=None).reading(block_vx).n_blocks
    boxes = draw_blocks(extent.box, block_vx, n=min(n_samples, n_blocks), seed=seed)
    return sampled_content(sample_blocks(run, boxes), extent, run.config.plan, n_blocks=n_blocks)


def draw_blocks(bounds: BoundingBox, block_vx: Triple, *, n: int, seed: int) -> list[BoundingBox]:
    """``n`` different blocks of work, each with equal probability, in z, y, x order."""
    shape = tuple(-(-edge // b) for edge, b in zip(bounds.size, block_vx, strict=True))[::-1]
    random = np.random.default_rng([seed, 0x9E3779B9])
    numbers = np.sort(random.choice(math.prod(shape), size=n, replace=False, shuffle=False))
    boxes = []
    for zyx in zip(*np.unravel_index(numbers, shape), strict=True):
        start = tuple(a + int(i) * b for a, i, b in zip(bounds.start, zyx[::-1], block_vx, strict=True))
        stop = tuple(a + b for a, b in zip(start, block_vx, strict=True))
        boxes.append(BoundingBox(start, stop).intersect(bounds))  # type: ignore[arg-type]
    return boxes


def sample_blocks(run: Run, boxes: list[BoundingBox]) -> list[BlockSample]:
    """What some blocks hold, counted on the skeletons around each.

    Raises:
        MissingDataError: the tissue is not made yet.
    """
    if run.config.volume is None and not files.exists(run.path("records", "tissue")):
        msg = f"a sample needs voxels, but {run.url} has no tissue yet: run `segclr tissue`, or plan without"
        raise MissingDataError(msg)
    segmentation = run.open_segmentation()
    around: Callable[[BoundingBox], Skeletons] = lambda box: _made(run, segmentation, box)  # noqa: E731
    if run.config.skeletons.source == "tissue":
        stored = list(_stored(run))
        around = lambda _box: stored  # noqa: E731
    return [_count(around(box), box, segmentation, nodes=run.config.nodes) for box in boxes]


def _made(run: Run, segmentation: Volume, box: BoundingBox) -> Skeletons:
    """Skeletons made on a block and one node spacing around it, so that few of its ends are mere cuts."""
    margin = tuple(math.ceil(run.config.nodes.spacing_nm / s) for s in segmentation.voxel_size_nm)
    context = box.grow(margin).intersect(segmentation.bounds)  # type: ignore[arg-type]
    labels = segmentation.read(context)
    if not labels.any():
        return []
    return skeletonize_array(
        labels, run.config.skeletons, voxel_size_nm=segmentation.voxel_size_nm, offset_vx=context.start
    )


def _stored(run: Run) -> Skeletons:
    """The made tissue's own skeletons."""
    vertices = NodeTable.concatenate([NodeTable.from_columns(read_folder(run.skeletons_folder))])
    for segment_id, rows in vertices.segments():
        yield Skeleton(segment_id, vertices.points_nm[rows], vertices.parents[rows], vertices.radii_nm[rows])


def _count(skeletons: Skeletons, box: BoundingBox, volume: Volume, *, nodes: NodeConfig) -> BlockSample:
    def inside(points_nm: NDArray[Any]) -> NDArray[np.bool_]:
        return box.contains(voxels_of_points(points_nm, volume.voxel_size_nm))

    cable_nm = n_trees = 0.0
    n_nodes = 0
    for skeleton in skeletons:
        points, parents = skeleton.points_nm, skeleton.parents
        child = np.flatnonzero(parents >= 0)
        degree = np.bincount(parents[child], minlength=len(parents)) + (parents >= 0)
        n_trees += float((1 - degree[inside(points)] / 2).sum())
        middle = (points[child] + points[parents[child]]) / 2
        cable_nm += float(edge_lengths_nm(points, parents)[child][inside(middle)].sum())
        n_nodes += int(inside(place_nodes(skeleton, nodes).points_nm).sum())
    return BlockSample(box.n_voxels, cable_nm / 1000, n_trees, n_nodes)


def plan_tree(plan: Plan) -> dict[str, Any]:
    """A plan as plain JSON values; a quantity that cannot be told is null."""
    rows = [
        {
            "section": row.section,
            "key": row.key,
            "unit": row.unit,
            **(asdict(row.value) if row.value else dict.fromkeys(("low", "expected", "high"))),
            "source": row.source,
        }
        for row in plan.rows
    ]
    return {
        "segclr_version": __version__,
        "name": plan.config.name,
        "rates_measured_on": plan.machine,
        "not_counted": not_counted(plan.config),
        "rows": rows,
    }


def plan_table(plan: Plan) -> Table:
    """A plan to be read."""
    table = Table(title=f"plan of {plan.config.name}", caption=_caption(plan), caption_justify="left")
    table.add_column("quantity", no_wrap=True)
    for name in ("low", "expected", "high"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("from")
    section = ""
    for row in _shown(plan):
        if row.section != section:
            if section:
                table.add_section()
            section = row.section
        name = row.key.removesuffix("_bytes").removesuffix("_um").removeprefix("read_").replace("_", " ")
        name = f"{section}: {name}" if section in ("reading", "storage", "money") else name
        table.add_row(name, *_cells(row), row.source)
    return table


def _shown(plan: Plan) -> list[Row]:
    """All rows; without money where nothing has a price."""
    priced = any(row.value for row in plan.rows if row.section == "money")
    return [row for row in plan.rows if priced or row.section != "money"]


def _caption(plan: Plan) -> str:
    money = "" if len(_shown(plan)) == len(plan.rows) else " Money: set plan.price_per_core_hour and others."
    return f"Rates measured on {plan.machine}. Not counted: {not_counted(plan.config)}.{money}"


def _cells(row: Row) -> tuple[str, str, str]:
    if row.value is None:
        return "", "unknown", ""
    low, expected, high = (_text(v, row.unit) for v in (row.value.low, row.value.expected, row.value.high))
    return ("", expected, "") if row.value.is_exact else (low, expected, high)


def _text(value: float, unit: str) -> str:
    """Three digits with a unit; bytes with a decimal prefix.

    >>> _text(1536.0, "B"), _text(4.2e9, "nodes"), _text(1234567, "cubes"), _text(0.0123, "h")
    ('1.54 kB', '4.2e+09 nodes', '1,234,567 cubes', '0.0123 h')
    """
    if unit == "B" and value >= 1000:
        power = min(int(math.log10(value) / 3), 6)
        return f"{value / 1000**power:.3g} {'_kMGTPE'[power]}B"
    if value >= 1e8:
        return f"{value:.3g} {unit}"
    return f"{value:,.0f} {unit}" if value >= 1000 or float(value).is_integer() else f"{value:.3g} {unit}"
