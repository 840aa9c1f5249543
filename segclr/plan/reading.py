"""What each stage of a run reads: bytes of whole chunks, and requests."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from segclr.geometry import Triple
from segclr.plan.extent import cube_margins
from segclr.plan.job import Job
from segclr.plan.range import Range
from segclr.plan.row import Row

__all__ = ["StageReading", "reading_rows", "stage_readings"]


@dataclass(frozen=True)
class StageReading:
    """Decoded bytes and requests of one stage."""

    stage: str
    em_bytes: Range
    segmentation_bytes: Range
    requests: Range

    @property
    def n_bytes(self) -> Range:
        """Of EM and segmentation together."""
        return self.em_bytes + self.segmentation_bytes


def stage_readings(job: Job) -> Iterator[StageReading]:
    """Bytes of whole chunks, decoded; a block's margin is read again with every neighbour."""
    config, nothing = job.config, Range.exact(0)
    block = config.cubes.block_vx
    if config.skeletons.source == "kimimaro":
        whole = replace(job.segmentation, region=None).reading(job.segmentation.bounds.size)
        n_bytes = whole.n_chunk_voxels * job.segmentation.bytes_per_voxel
        yield StageReading("skeletonize", nothing, Range.exact(n_bytes), Range.exact(whole.n_chunks))
    x, y, z = (math.ceil(config.nodes.snap_nm / s) for s in job.segmentation.voxel_size_nm)
    grown = job.segmentation.reading(block, ((x, y, z), (x, y, z)))
    n_bytes = grown.n_chunk_voxels * job.segmentation.bytes_per_voxel
    yield StageReading("nodes", nothing, Range.exact(n_bytes), Range.exact(grown.n_chunks))
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
    job: Job, stage: str, size_vx: int, n_cubes: Range, *, block_vx: Triple, times: int
) -> StageReading:
    """Blocks are read whole with the cubes' margins, unless so few cubes lie in them that those are less."""
    n_bytes, requests = [], Range.exact(0)
    for extent in job.volumes:
        grown = extent.reading(block_vx, cube_margins(size_vx), shift=job.shift(size_vx))
        chunks = (n_cubes * extent.chunks_of_cube(size_vx)).at_most(grown.n_chunks)
        n_bytes.append(chunks * (grown.n_chunk_voxels / grown.n_chunks * extent.bytes_per_voxel * times))
        requests = requests + chunks * times
    return StageReading(stage, n_bytes[0], n_bytes[1], requests)


def reading_rows(job: Job, readings: list[StageReading]) -> Iterator[Row]:
    """The section of a plan on reading."""
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
