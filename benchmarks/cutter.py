"""The cutter over places in pinky40 (129 voxels) against reading cube by cube, and how often chunks are read.

    .venv/bin/python benchmarks/cutter.py [--cubes 400] [--out benchmarks/results/cutter.json]

pinky40 (../shared/data) is a segmentation without EM: seeded noise stands for it. Both are written anew as
precomputed with chunks of 64 voxels, EM raw and labels as compressed_segmentation, since tensorstore does not
read compresso; files are in the page cache. Places stand for nodes: the voxel nearest to the middle of each
segment within each cell of 1.5 um, in random order.

Ours is told twice: as a job cuts, eight cubes at a time from a window that passes over the volume once, and
as cut_cubes does, all at once into new memory. Baselines in the same run: cloud-volume downloads EM and
labels of each cube; tensorstore reads them, with all chunks decoded in its cache; and, as the limit, a plain
copy of the cubes in memory. One thread computes here; tensorstore and cloud-volume may use all cores. Times
are the best of three, in passing of two, cloud-volume's of one over 20 cubes.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import tensorstore
from cloudvolume import CloudVolume
from processor import processor

from pipelines.work_parts import plan_parts
from segclr.data.block_grid import block_grid
from segclr.data.cubes import cut_by_window, cut_cubes
from segclr.data.curve import hilbert_index
from segclr.data.sweep import sweep
from segclr.data.volume import Volume, open_volume
from segclr.geometry import BoundingBox, cube_starts
from segclr.plan import Extent, cube_margins

DATA = Path("../shared/data")
PINKY = f"precomputed://file://{DATA.resolve()}/pinky40"
FIB25 = f"precomputed://file://{DATA.resolve()}/fib25/seg"
SIZE = 129
VOXEL = (32, 32, 40)


def best(work, times=3):
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        answer = work()
        seconds.append(time.perf_counter() - start)
    return answer, min(seconds)


def write(folder, array, *, kind, encoding):
    info = CloudVolume.create_new_info(
        num_channels=1,
        layer_type=kind,
        data_type=str(array.dtype),
        encoding=encoding,
        resolution=VOXEL,
        voxel_offset=(0, 0, 0),
        volume_size=array.shape[::-1],
        chunk_size=(64, 64, 64),
    )
    volume = CloudVolume(f"file://{folder}", info=info, progress=False, compress=False)
    volume.commit_info()
    volume[:, :, :] = array.T[..., None]


def places(labels, n, seed):
    """One voxel (z, y, x) of each segment in each cell of 1.5 um: the one nearest to their middle."""
    z, y, x = (3 * v for v in np.nonzero(labels[::3, ::3, ::3]))  # a 27th of the voxels will do
    at = np.stack([z, y, x], axis=1)
    cell = at // np.array([37, 47, 47])
    segment = np.unique(labels[z, y, x], return_inverse=True)[1]
    keys = ((segment * 64 + cell[:, 0]) * 64 + cell[:, 1]) * 64 + cell[:, 2]
    _, group, count = np.unique(keys, return_inverse=True, return_counts=True)
    middle = np.stack([np.bincount(group, weights=v) for v in at.T], axis=1) / count[:, None]
    distance = ((at - middle[group]) ** 2).sum(axis=1)
    order = np.lexsort((distance, group))
    first = order[np.r_[True, np.diff(group[order]) > 0]]
    first = first[count[group[first]] > 8]  # cells that a segment only grazes
    chosen = np.random.default_rng(seed).permutation(len(first))[:n]
    return at[first[chosen]], len(first)


def speeds(folder, n_cubes):
    ids = open_volume(PINKY, voxel_size_nm=VOXEL)
    labels = ids.read(ids.bounds)
    noise = np.random.default_rng(0).integers(1, 256, labels.shape, dtype=np.uint8)
    write(f"{folder}/em", noise, kind="image", encoding="raw")
    write(f"{folder}/seg", labels.astype(np.uint64), kind="segmentation", encoding="compressed_segmentation")
    em, segmentation = (
        open_volume(f"precomputed://file://{folder}/{n}", voxel_size_nm=VOXEL) for n in ("em", "seg")
    )
    at, n_places = places(labels, 10 * n_cubes, seed=1)
    all_centers, all_segments = (at[:, ::-1] + 0.5) * VOXEL, labels[tuple(at.T)].astype(np.uint64)
    centers, segments = all_centers[:n_cubes], all_segments[:n_cubes]
    starts = cube_starts(centers, VOXEL, size_vx=SIZE)
    boxes = [BoundingBox(s, s + SIZE).intersect(em.bounds) for s in starts]

    def ours():
        return cut_cubes(em, segmentation, centers, segments, size_vx=SIZE)

    def one_by_one(read_em, read_ids, rows):
        cubes = np.zeros((len(rows), SIZE, SIZE, SIZE), dtype=np.uint8)
        for cube, row in zip(cubes, rows, strict=True):
            box = boxes[row]
            target = box.slices_zyx(tuple(int(v) for v in starts[row]))
            cube[target] = np.where(read_ids(box) == segments[row], read_em(box), 0)
        return cubes

    stores = [CloudVolume(f"file://{folder}/{n}", progress=False) for n in ("em", "seg")]

    def download(store):
        return lambda b: store[tuple(slice(a, z) for a, z in zip(b.start, b.stop, strict=True))][..., 0].T

    context = tensorstore.Context({"cache_pool": {"total_bytes_limit": 4 << 30}})
    spec = {
        "driver": "neuroglancer_precomputed",
        "recheck_cached_data": False,
        "recheck_cached_metadata": False,
    }
    arrays = [
        tensorstore.open({**spec, "kvstore": f"file://{folder}/{n}/"}, context=context).result()[..., 0].T
        for n in ("em", "seg")
    ]

    def cached(array):
        return lambda b: (
            array[tuple(slice(a, z) for a, z in zip(b.start[::-1], b.stop[::-1], strict=True))]
            .read()
            .result()
        )

    for array in arrays:
        array.read().result()

    def in_passing():
        pieces = cut_by_window(em, segmentation, all_centers, all_segments, size_vx=SIZE, most=8)
        return sum(len(rows) for rows, _ in pieces)

    few, many = range(20), range(min(100, n_cubes))
    cubes, ours_s = best(ours)
    _, again_s = best(cubes.copy)
    copied = np.zeros_like(cubes)
    _, copy_s = best(lambda: np.copyto(copied, cubes))
    theirs, tensorstore_s = best(lambda: one_by_one(*map(cached, arrays), many))
    downloaded, cloud_s = best(lambda: one_by_one(*map(download, stores), few), times=1)
    assert np.array_equal(theirs, cubes[: len(many)])
    assert np.array_equal(downloaded, cubes[:20])
    (_, windows_s), rates = best(lambda: list(sweep(em, segmentation, starts, segments, size_vx=SIZE))), {}
    n_all, all_s = best(in_passing, times=2)
    rates[f"segclr, {n_all} cubes in passing, reading included"] = n_all / all_s
    rates[f"segclr.cut_cubes, {n_cubes} cubes at once, reading included"] = n_cubes / ours_s
    rates["segclr.cut_cubes, reading taken off"] = n_cubes / max(ours_s - windows_s, 1e-9)
    rates["cloud-volume, a download a cube"] = 20 / cloud_s
    rates["tensorstore, cube by cube, warm cache"] = len(many) / tensorstore_s
    rates["copy of the cubes into memory at hand"] = n_cubes / copy_s
    rates["copy of the cubes into new memory"] = n_cubes / again_s
    mine = n_all / all_s
    occupancy = (cubes > 0).mean(axis=(1, 2, 3))
    return {
        "n_places": n_places,
        "n_cubes": n_cubes,
        "occupancy": {"mean": float(occupancy.mean()), "median": float(np.median(occupancy))},
        "cubes_per_s": {k: round(v, 1) for k, v in rates.items()},
        "ratio_of_the_first_to": {k: round(mine / v, 3) for k, v in rates.items()},
    }


class Counted:
    """The geometry of a volume; its voxels read as 1, and the chunks of each read are counted."""

    def __init__(self, bounds, voxel_size_nm, chunk_size_vx, dtype):
        self.url, self.bounds, self.voxel_size_nm = "", bounds, voxel_size_nm
        self.chunk_size_vx, self.dtype, self.n_voxels = chunk_size_vx, np.dtype(dtype), 0

    def read_inside(self, box):
        size = 1
        for a, b, o, end, c in zip(
            box.start, box.stop, self.bounds.start, self.bounds.stop, self.chunk_size_vx, strict=True
        ):
            size *= min(end, o - (o - b) // c * c) - (o + (a - o) // c * c)
        self.n_voxels += size
        return np.ones(box.shape_zyx, dtype=self.dtype)


def times_read(bounds, voxel_size_nm, *, em_chunk, label_chunk, block=512):
    """Voxels of the chunks read by the parts of a job, over those of the volume; nodes are dense."""
    em = Volume(Counted(bounds, voxel_size_nm, em_chunk, np.uint8))
    segmentation = Volume(Counted(bounds, voxel_size_nm, label_chunk, np.uint32))
    axes = [
        np.unique(np.r_[np.arange(a, b, 31), b - 1]) for a, b in zip(bounds.start, bounds.stop, strict=True)
    ]
    voxels = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    blocks = hilbert_index(block_grid(segmentation, block_vx=(block,) * 3, size_vx=SIZE).blocks_of(voxels))
    counts = dict(zip(*(v.tolist() for v in np.unique(blocks, return_counts=True)), strict=True))
    n_parts = 0
    for part in plan_parts(counts, most_nodes=10**9):
        rows = np.flatnonzero(np.isin(blocks, part.blocks))
        for _ in sweep(
            em, segmentation, voxels[rows] - SIZE // 2, np.ones(len(rows), np.uint64), size_vx=SIZE
        ):
            pass
        n_parts += 1
    return {
        "volume_vx": bounds.size,
        "chunks_vx": {"EM": em_chunk, "labels": label_chunk},
        "parts": n_parts,
        "times_read": {
            "EM": round(em.source.n_voxels / bounds.n_voxels, 3),
            "labels": round(segmentation.source.n_voxels / bounds.n_voxels, 3),
        },
    }


def reads():
    rows = []
    for name, url, size in (
        ("fib25, 10 nm", FIB25, (10, 10, 10)),
        ("pinky40, 32x32x40 nm", PINKY, VOXEL),
        ("pinky40, 16x16x40 nm", PINKY, (16, 16, 40)),
        ("pinky40, 8x8x40 nm", PINKY, (8, 8, 40)),
    ):
        volume = open_volume(url, voxel_size_nm=size)
        em_chunk = (64, 64, 64) if "fib25" in name else volume.chunk_size_vx  # pinky40 has no EM
        counted = times_read(volume.bounds, size, em_chunk=em_chunk, label_chunk=volume.chunk_size_vx)
        rows.append({"volume": name, **counted})
    cubic_mm = BoundingBox((0, 0, 0), (31250, 31250, 25000))
    for chunk in (64, 128):
        extent = Extent(cubic_mm, VOXEL, (chunk,) * 3, 1)
        shift = (SIZE // 2 % chunk,) * 3
        blocks = {
            "blocks of 512 on the chunks' grid": ((512,) * 3, (0, 0, 0)),
            "blocks of 512, moved": ((512,) * 3, shift),
            "eight blocks of 512 together, moved": ((1024,) * 3, shift),
        }
        for what, (block, moved) in blocks.items():
            read = extent.reading(block, cube_margins(SIZE), shift=moved).n_chunk_voxels
            rows.append(
                {
                    "volume": f"1 mm^3 by arithmetic, chunks of {chunk}: {what}",
                    "times_read": round(read / cubic_mm.n_voxels, 3),
                }
            )
    return rows


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cubes", type=int, default=400)
    parser.add_argument("--out", default="benchmarks/results/cutter.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = {
            "machine": f"{processor()}, Python {platform.python_version()}, NumPy {np.__version__}",
            "size_vx": SIZE,
            "em": "seeded noise: pinky40 has none",
            "speed": speeds(folder, options.cubes),
            "reads": reads(),
        }
    Path(options.out).write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
