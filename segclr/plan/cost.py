"""The arithmetic of a plan: from what a volume holds to bytes, hours and money. Nothing is read here.

Every formula stands beside the quantity it makes; ``docs/scaling.md`` goes through one example by hand.
"""

from __future__ import annotations

from collections.abc import Iterator

from segclr.config import PlanConfig, RunConfig
from segclr.plan.content import Content
from segclr.plan.extent import Extent
from segclr.plan.hours import time_rows
from segclr.plan.job import NODE_BYTES, Job
from segclr.plan.range import Range
from segclr.plan.rates import Rates
from segclr.plan.reading import reading_rows, stage_readings
from segclr.plan.row import Row

__all__ = ["cost_rows", "not_counted"]

_NOT_COUNTED = (
    "the ten-feature baseline, aggregation, evaluation and the report: hours; scheduling, retries and waiting"
)


def not_counted(config: RunConfig) -> str:
    """What a run of this configuration also does, or does not do, and a plan leaves out."""
    left_out = [_NOT_COUNTED]
    if config.skeletons.source == "url":
        left_out.append("reading skeletons.url")
    nodes = {"ids": config.nodes.ids, "min_cable_nm": config.nodes.min_cable_nm}
    filters = [f"nodes.{name}" for name, value in nodes.items() if value]
    if filters:
        left_out.append(f"what {', '.join(filters)} leave out: the plan is of all segments")
    return "; ".join(left_out)


_PARQUET = Range(0.9, 1.0, 1.4)
"""Bytes in a file for one in its columns: 1.4 for 100 rows of random vectors, 1.005 for 100,000."""


def cost_rows(
    config: RunConfig,
    *,
    em: Extent | None,
    segmentation: Extent,
    content: Content,
    rates: Rates,
    gflop_per_cube: float,
) -> list[Row]:
    """All lines of a plan.

    Args:
        config: of the run.
        em: of the EM; None: skeletons, nodes and pairs alone are planned.
        segmentation: on the same grid.
        content: what the volume holds.
        rates: of the work.
        gflop_per_cube: work of the configured encoder on one cube, forward, 10^9 operations.

    Raises:
        ConfigError: a rate is neither measured nor set.
    """
    job = Job(config, em, segmentation, content, rates, gflop_per_cube)
    readings = list(stage_readings(job))
    storage = list(_storage(job))
    time = list(time_rows(job, readings))
    reading = list(reading_rows(job, readings))
    money = _money(config.plan, rows={r.key: r.value for r in (*storage, *time, *reading)})
    return [*_volume(job), *_work(job), *reading, *storage, *time, *money]


def _volume(job: Job) -> Iterator[Row]:
    extent = job.segmentation
    source = "metadata" if extent.region is None else "metadata, config nodes.box_nm"
    yield Row("volume", "voxels", "voxels", Range.exact(extent.box.n_voxels), source)
    yield Row("volume", "tissue_um3", "um^3", Range.exact(extent.volume_um3), source)
    yield Row("volume", "decoded_bytes", "B", Range.exact(job.decoded_bytes), source)


def _work(job: Job) -> Iterator[Row]:
    content = job.content
    yield Row("work", "cable_um", "um", content.cable_um, content.source)
    yield Row("work", "segments", "trees", content.n_segments, content.source)
    yield Row("work", "nodes", "nodes", content.n_nodes, content.source)
    yield Row("work", "blocks", "blocks", Range.exact(job.n_blocks), "metadata, config cubes.block_vx")
    yield Row("work", "pairs", "pairs", Range.exact(job.n_pairs), "config pairs.n_pairs")
    if job.em is None:
        return
    source = "nodes x encoders, the untrained one too" if job.n_encoders > 1 else "nodes"
    yield Row("work", "cubes_to_embed", "cubes", content.n_nodes * job.n_encoders, source)
    yield Row("work", "cubes_to_store", "cubes", job.n_stored_cubes, "distinct nodes of the pairs")
    yield Row("work", "cubes_to_train", "cubes", Range.exact(job.n_steps_cubes), "config train")
    gflop = Range.exact(job.gflop_per_cube)
    yield Row("work", "gflop_per_cube", "GFLOP", gflop, "counted on the encoder, forward")


def _storage(job: Job) -> Iterator[Row]:
    """Bytes that lie in the run's folder at its end."""
    config, nodes = job.config, job.content.n_nodes
    vertex_um = sum(job.segmentation.voxel_size_nm) / 3 / 1000
    beyond = job.segmentation.bounds.n_voxels / job.segmentation.box.n_voxels
    skeletons = job.content.cable_um * beyond / vertex_um * NODE_BYTES * _PARQUET
    raw = job.n_stored_cubes * job.stored_size_vx**3
    share = job.rates["stored_share_of_cube"]
    cubes = Range(raw.low * share.value, raw.expected * share.value, raw.high)
    row = NODE_BYTES + 4 * config.encoder.embedding_dim
    settings = sum(radius > 0 for radius in config.aggregate.radii_um) * len(config.aggregate.metrics)
    parts = {
        "skeletons_bytes": (skeletons, "cable / voxel size x 32 B"),
        "nodes_bytes": (nodes * NODE_BYTES * _PARQUET, f"nodes x {NODE_BYTES} B"),
    }
    later = {
        "cubes_bytes": (cubes, f"cubes x {job.stored_size_vx}^3 B x share on disk ({share.source})"),
        "embeddings_bytes": (
            nodes * (2 * row * job.n_encoders) * _PARQUET,
            f"nodes x {row} B x 2 (blocks, shards) x {job.n_encoders} encoders",
        ),
        "aggregated_bytes": (
            nodes * ((row + 4) * settings * job.n_encoders) * _PARQUET,
            f"nodes x {row + 4} B x {settings} settings x {job.n_encoders} encoders",
        ),
    }
    if job.em is not None:
        parts |= later
    total = Range.exact(0)
    for key, (value, source) in parts.items():
        total = total + value
        yield Row("storage", key, "B", value, source)
    yield Row("storage", "stored_bytes", "B", total, "sum of the above")


def _money(plan: PlanConfig, *, rows: dict[str, Range | None]) -> Iterator[Row]:
    """Prices times amounts; what has no price has no cost, and a sum of it neither."""
    prices = {
        "cores_without_gpu": ("core_hours", 1.0, "price_per_core_hour"),
        "cores_beside_gpu": ("core_hours_beside_gpu", 1.0, "price_per_core_hour"),
        "gpus": ("gpu_hours", 1.0, "price_per_gpu_hour"),
        "egress": ("transferred_bytes", 1e12, "price_per_tb_read"),
        "requests_cost": ("requests", 1e6, "price_per_million_requests"),
        "storage_per_month": ("stored_bytes", 1e12, "price_per_tb_month"),
    }
    costs: dict[str, Range | None] = {}
    for key, (amount_key, unit, price_key) in prices.items():
        amount, price = rows.get(amount_key), getattr(plan, price_key)
        costs[key] = amount / unit * price if amount is not None and price is not None else None
        missing = f"no price: set plan.{price_key}" if price is None else f"{amount_key} not measured"
        source = f"{amount_key} x config plan.{price_key}" if costs[key] is not None else missing
        yield Row("money", key, plan.currency, costs[key], source)
    for key, names in {
        "run_without_gpu": ("cores_without_gpu", "egress", "requests_cost"),
        "run_with_gpu": ("cores_beside_gpu", "gpus", "egress", "requests_cost"),
    }.items():
        told = [c for n in names if (c := costs[n]) is not None]
        whole = sum(told, Range.exact(0)) if len(told) == len(names) else None
        absent = [n for n in names if costs[n] is None]
        source = " + ".join(names) if whole else f"unknown: {', '.join(absent)}"
        yield Row("money", key, plan.currency, whole, source)
