"""The arithmetic of a plan: from what a volume holds to bytes, hours and money. Nothing is read here.

Every formula stands beside the quantity it makes; ``docs/plan.md`` goes through one example by hand.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from segclr.config import PlanConfig, RunConfig
from segclr.data.block_grid import LEAST_TOGETHER, block_shift
from segclr.geometry import Triple
from segclr.plan.content import Content
from segclr.plan.extent import Extent, cube_margins
from segclr.plan.range import Range
from segclr.plan.rates import Rate, Rates

__all__ = ["Row", "cost_rows", "not_counted"]

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


_TRAINING_STEP = 3.0
"""A training step costs a forward pass and a backward pass of twice its work (every weight and every
activation gets a gradient by one product each)."""

_NODE_BYTES = 32
"""segment_id u64, node_id u32, x, y, z, radius f32, parent i32 (DESIGN)."""

_PARQUET = Range(0.9, 1.0, 1.4)
"""Bytes in a file for one in its columns: 1.4 for 100 rows of random vectors, 1.005 for 100,000."""

_S_PER_HOUR = 3600.0
_COUNTED = "arithmetic on the above"


@dataclass(frozen=True)
class Row:
    """One line of a plan.

    Attributes:
        section: of the table.
        key: name, with the unit at its end where it has one.
        unit: as shown; ``B`` is shown with a decimal prefix.
        value: None where it cannot be told; ``source`` says why.
        source: where the number comes from.
    """

    section: str
    key: str
    unit: str
    value: Range | None
    source: str


@dataclass(frozen=True)
class _StageReading:
    """Decoded bytes and requests of one stage."""

    stage: str
    em_bytes: Range
    segmentation_bytes: Range
    requests: Range

    @property
    def n_bytes(self) -> Range:
        return self.em_bytes + self.segmentation_bytes


@dataclass(frozen=True)
class _Job:
    """A run to be costed: its configuration with what is known of its data."""

    config: RunConfig
    em: Extent | None
    segmentation: Extent
    content: Content
    rates: Rates
    gflop_per_cube: float

    @property
    def volumes(self) -> tuple[Extent, ...]:
        """The EM, where there is one, and the segmentation."""
        return (self.segmentation,) if self.em is None else (self.em, self.segmentation)

    @property
    def decoded_bytes(self) -> int:
        """Of all voxels where nodes are wanted, once."""
        return self.segmentation.box.n_voxels * sum(v.bytes_per_voxel for v in self.volumes)

    @property
    def whole_mvoxel(self) -> Range:
        """What is made or skeletonized: the volume, wherever nodes are wanted."""
        return Range.exact(self.segmentation.bounds.n_voxels / 1e6)

    @property
    def n_encoders(self) -> int:
        """The trained one, and the untrained beside it."""
        return 2 if self.config.evaluate.untrained_baseline else 1

    def shift(self, size_vx: int) -> Triple:
        """By which the blocks of work are moved for cubes of an edge."""
        block, chunk = self.config.cubes.block_vx, self.segmentation.chunk_size_vx
        return block_shift(size_vx, block_vx=block, chunk_vx=chunk)

    @property
    def n_blocks(self) -> int:
        """Blocks of work."""
        cubes = self.config.cubes
        return self.segmentation.reading(cubes.block_vx, shift=self.shift(cubes.size_vx)).n_blocks

    @property
    def goes_together(self) -> bool:
        """Whether parts of embed are eight blocks each, as far as the mean number of nodes tells."""
        per_part = 8 * self.content.n_nodes.expected / self.n_blocks
        return self.n_blocks >= LEAST_TOGETHER and per_part <= self.config.cubes.part_nodes

    @property
    def n_pairs(self) -> int:
        """Pairs that are drawn; none where a finished encoder is given."""
        return self.config.pairs.n_pairs if self.config.trains else 0

    @property
    def n_steps_cubes(self) -> int:
        """Cubes that pass the encoder in training; none where a finished one is given."""
        if not self.config.trains:
            return 0
        return self.config.train.steps * 2 * self.config.train.batch_pairs

    @property
    def stored_size_vx(self) -> int:
        return self.config.cubes.size_vx + 2 * self.config.cubes.margin_vx

    @property
    def n_stored_cubes(self) -> Range:
        """Distinct nodes of the pairs: n of 2 p draws from N are ``N (1 - (1 - 1 / N)^(2 p))`` on average."""
        if not self.n_pairs:
            return Range.exact(0)
        draws = 2 * self.n_pairs

        def distinct(n: float) -> float:
            return -n * math.expm1(draws * math.log1p(-1 / n)) if n > 1 else n

        nodes = self.content.n_nodes
        # pairs are not drawn uniformly: long segments less often than by their nodes, twins more often
        return Range(distinct(nodes.low) * 0.5, distinct(nodes.expected), min(draws, nodes.high))


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
    job = _Job(config, em, segmentation, content, rates, gflop_per_cube)
    readings = list(_readings(job))
    storage = list(_storage(job))
    time = list(_time(job, readings))
    reading = list(_reading_rows(job, readings))
    money = _money(config.plan, rows={r.key: r.value for r in (*storage, *time, *reading)})
    return [*_volume(job), *_work(job), *reading, *storage, *time, *money]


def _volume(job: _Job) -> Iterator[Row]:
    extent = job.segmentation
    source = "metadata" if extent.region is None else "metadata, config nodes.box_nm"
    yield Row("volume", "voxels", "voxels", Range.exact(extent.box.n_voxels), source)
    yield Row("volume", "tissue_um3", "um^3", Range.exact(extent.volume_um3), source)
    yield Row("volume", "decoded_bytes", "B", Range.exact(job.decoded_bytes), source)


def _work(job: _Job) -> Iterator[Row]:
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


def _readings(job: _Job) -> Iterator[_StageReading]:
    """Bytes of whole chunks, decoded; a block's margin is read again with every neighbour."""
    config, nothing = job.config, Range.exact(0)
    block = config.cubes.block_vx
    if config.skeletons.source == "kimimaro":
        whole = replace(job.segmentation, region=None).reading(job.segmentation.bounds.size)
        n_bytes = whole.n_chunk_voxels * job.segmentation.bytes_per_voxel
        yield _StageReading("skeletonize", nothing, Range.exact(n_bytes), Range.exact(whole.n_chunks))
    x, y, z = (math.ceil(config.nodes.snap_nm / s) for s in job.segmentation.voxel_size_nm)
    grown = job.segmentation.reading(block, ((x, y, z), (x, y, z)))
    n_bytes = grown.n_chunk_voxels * job.segmentation.bytes_per_voxel
    yield _StageReading("nodes", nothing, Range.exact(n_bytes), Range.exact(grown.n_chunks))
    if job.em is None:
        return
    yield _cubes_reading(job, "cubes", job.stored_size_vx, job.n_stored_cubes, block_vx=block, times=1)
    x, y, z = (2 * edge if job.goes_together else edge for edge in block)
    yield _cubes_reading(
        job,
        "embed",
        config.cubes.size_vx,
        job.content.n_nodes,
        block_vx=(x, y, z),
        times=job.n_encoders,
    )


def _cubes_reading(
    job: _Job, stage: str, size_vx: int, n_cubes: Range, *, block_vx: Triple, times: int
) -> _StageReading:
    """Blocks are read whole with the cubes' margins, unless so few cubes lie in them that those are less."""
    n_bytes, requests = [], Range.exact(0)
    for extent in job.volumes:
        grown = extent.reading(block_vx, cube_margins(size_vx), shift=job.shift(size_vx))
        chunks = (n_cubes * extent.chunks_of_cube(size_vx)).at_most(grown.n_chunks)
        n_bytes.append(chunks * (grown.n_chunk_voxels / grown.n_chunks * extent.bytes_per_voxel * times))
        requests = requests + chunks * times
    return _StageReading(stage, n_bytes[0], n_bytes[1], requests)


def _reading_rows(job: _Job, readings: list[_StageReading]) -> Iterator[Row]:
    plan, total, transferred, requests = job.config.plan, Range.exact(0), Range.exact(0), Range.exact(0)
    for r in readings:
        yield Row("reading", f"read_{r.stage}_bytes", "B", r.n_bytes, "metadata: whole chunks, decoded")
        total = total + r.n_bytes
        transferred = transferred + r.em_bytes / plan.em_compression
        transferred = transferred + r.segmentation_bytes / plan.segmentation_compression
        requests = requests + r.requests
    yield Row("reading", "read_bytes", "B", total, "sum of the above")
    yield Row("reading", "times_the_volume", "x", total / job.decoded_bytes, "read / volume")
    source = "config plan.em_compression, segmentation_compression"
    yield Row("reading", "transferred_bytes", "B", transferred, source)
    yield Row("reading", "requests", "chunks", requests, "metadata: one a chunk, no shards")


def _storage(job: _Job) -> Iterator[Row]:
    """Bytes that lie in the run's folder at its end."""
    config, nodes = job.config, job.content.n_nodes
    vertex_um = sum(job.segmentation.voxel_size_nm) / 3 / 1000
    beyond = job.segmentation.bounds.n_voxels / job.segmentation.box.n_voxels
    skeletons = job.content.cable_um * beyond / vertex_um * _NODE_BYTES * _PARQUET
    raw = job.n_stored_cubes * job.stored_size_vx**3
    share = job.rates["stored_share_of_cube"]
    cubes = Range(raw.low * share.value, raw.expected * share.value, raw.high)
    row = _NODE_BYTES + 4 * config.encoder.embedding_dim
    settings = sum(radius > 0 for radius in config.aggregate.radii_um) * len(config.aggregate.metrics)
    parts = {
        "skeletons_bytes": (skeletons, "cable / voxel size x 32 B"),
        "nodes_bytes": (nodes * _NODE_BYTES * _PARQUET, f"nodes x {_NODE_BYTES} B"),
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


def _time(job: _Job, readings: list[_StageReading]) -> Iterator[Row]:
    """Core-hours of each stage, then GPU-hours."""
    read = {r.stage: _hours(r.n_bytes / 1e6, job.rates["read_mb_per_s"]) for r in readings}
    parts = [*_time_to_pairs(job, read), *(_time_from_cubes(job, read) if job.em is not None else ())]
    total = beside = Range.exact(0)
    for name, value, source in parts:
        total = total + value
        beside = beside if name in ("train", "encode") else beside + value
        yield Row("time", f"{name}_core_hours", "core-h", value, source)
    cluster = job.config.cluster
    workers = cluster.workers if cluster.kind != "none" else 1
    yield Row("time", "core_hours", "core-h", total, "sum of the above: no GPU")
    yield Row("time", "wall_hours", "h", total / workers, f"core-hours / {workers} (config cluster.workers)")
    if job.em is not None:
        yield Row("time", "core_hours_beside_gpu", "core-h", beside, "without train and encode")
        yield _gpu_hours(job)


def _time_to_pairs(job: _Job, read: dict[str, Range]) -> Iterator[tuple[str, Range, str]]:
    """Of the stages that need no EM: name, core-hours and source."""
    config = job.config
    if config.tissue is not None and config.volume is None:
        rate = job.rates["tissue_mvoxel_per_s"]
        yield "tissue", _hours(job.whole_mvoxel, rate), _per_s(rate, "Mvoxel")
    if config.skeletons.source == "kimimaro":
        rate = job.rates["skeletonize_mvoxel_per_s"]
        yield "skeletonize", read["skeletonize"] + _hours(job.whole_mvoxel, rate), _per_s(rate, "Mvoxel")
    rate = job.rates["nodes_per_s"]
    yield "nodes", read["nodes"] + _hours(job.content.n_nodes, rate), _per_s(rate, "nodes")
    rate = job.rates["pairs_per_s"]
    yield "pairs", _hours(Range.exact(job.n_pairs), rate), _per_s(rate, "pairs")


def _time_from_cubes(job: _Job, read: dict[str, Range]) -> Iterator[tuple[str, Range, str]]:
    """Of the stages that need EM: name, core-hours and source."""
    config = job.config
    cut, store = job.rates["cut_mvoxel_per_s"], job.rates["write_cube_mvoxel_per_s"]
    stored_mvoxel = job.n_stored_cubes * (job.stored_size_vx**3 / 1e6)
    storing = _hours(stored_mvoxel, cut) + _hours(stored_mvoxel, store)
    yield "cubes", read["cubes"] + storing, _per_s(cut, "cut Mvoxel")
    rate = _encoding(job, config.train.precision)
    train = _hours(Range.exact(job.n_steps_cubes * _TRAINING_STEP * job.gflop_per_cube), rate)
    yield "train", train, _per_s(rate, "GFLOP") + ", 3 forward passes a step"
    embedded = job.content.n_nodes * job.n_encoders
    cutting = _hours(embedded * (config.cubes.size_vx**3 / 1e6), cut)
    embedding_mb = embedded * ((_NODE_BYTES + 4 * config.encoder.embedding_dim) / 1e6)
    writing = _hours(embedding_mb * 2, job.rates["write_mb_per_s"])
    yield "embed_but_encode", read["embed"] + cutting + writing, "read, cut, write, compact"
    rate = _encoding(job, config.embed.precision)
    yield "encode", _hours(embedded * job.gflop_per_cube, rate), _per_s(rate, "GFLOP")


def _encoding(job: _Job, precision: str) -> Rate:
    return job.rates.encoding(
        job.config.encoder,
        size_vx=job.config.cubes.size_vx,
        precision=precision,
        gflop_per_cube=job.gflop_per_cube,
    )


def _gpu_hours(job: _Job) -> Row:
    """Training and encoding on a GPU, told only from a rate measured on one or set in the configuration."""
    config, gpu = job.config, None
    cubes = Range.exact(job.n_steps_cubes * _TRAINING_STEP) + job.content.n_nodes * job.n_encoders
    if config.plan.gpu_tflops is not None:
        rate = Rate(config.plan.gpu_tflops * 1000, "config plan.gpu_tflops")
    else:
        gpu = job.rates.gpu_encoding(
            config.encoder, size_vx=config.cubes.size_vx, precision=config.embed.precision
        )
        if gpu is None:
            return Row("time", "gpu_hours", "GPU-h", None, "not measured: set plan.gpu_tflops")
        rate = Rate(gpu.gflop_per_s, f"measured rate on {gpu.device}")
    return Row("time", "gpu_hours", "GPU-h", _hours(cubes * job.gflop_per_cube, rate), _per_s(rate, "GFLOP"))


def _hours(amount: Range, rate: Rate) -> Range:
    return amount / (rate.value * _S_PER_HOUR)


def _per_s(rate: Rate, what: str) -> str:
    return f"{rate.source}: {rate.value:.3g} {what}/s"


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
