"""How long a run works: core-hours of each stage, and GPU-hours."""

from __future__ import annotations

from collections.abc import Iterator

from segclr.plan.job import NODE_BYTES, Job
from segclr.plan.range import Range
from segclr.plan.rates import Rate
from segclr.plan.reading import StageReading
from segclr.plan.row import Row

__all__ = ["time_rows"]

_TRAINING_STEP = 3.0
"""A training step costs a forward pass and a backward pass of twice its work (every weight and every
activation gets a gradient by one product each)."""

_S_PER_HOUR = 3600.0
_COUNTED = "arithmetic on the above"


def time_rows(job: Job, readings: list[StageReading]) -> Iterator[Row]:
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


def _time_to_pairs(job: Job, read: dict[str, Range]) -> Iterator[tuple[str, Range, str]]:
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


def _time_from_cubes(job: Job, read: dict[str, Range]) -> Iterator[tuple[str, Range, str]]:
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
    embedding_mb = embedded * ((NODE_BYTES + 4 * config.encoder.embedding_dim) / 1e6)
    writing = _hours(embedding_mb * 2, job.rates["write_mb_per_s"])
    yield "embed_but_encode", read["embed"] + cutting + writing, "read, cut, write, compact"
    rate = _encoding(job, config.embed.precision)
    yield "encode", _hours(embedded * job.gflop_per_cube, rate), _per_s(rate, "GFLOP")


def _encoding(job: Job, precision: str) -> Rate:
    return job.rates.encoding(
        job.config.encoder,
        size_vx=job.config.cubes.size_vx,
        precision=precision,
        gflop_per_cube=job.gflop_per_cube,
    )


def _gpu_hours(job: Job) -> Row:
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
