"""Reading a box of a precomputed volume: segclr against cloud-volume and tensorstore's own driver.

    .venv/bin/python benchmarks/block_reading.py [--repeats 15] [--out benchmarks/results/block_reading.json]

The same local volumes for all (FIB-25 of ../shared/data where it is there, else made), the same boxes, taken
in turn, one thread each, warm file cache. Ratios are cloud-volume's shortest time over the other's, since
other work on the machine only adds; above 1 is faster than cloud-volume. Processor time leaves out waiting:
of the disk, of other processes, and of cloud-volume for its own threads. Results must be equal.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import tensorstore
from cloudvolume import CloudVolume
from processor import processor

from segclr.data.volume import open_volume
from segclr.geometry import BoundingBox

SIZE_NM = (10, 10, 10)
CHUNK = (64, 64, 64)
BOXES = {
    "whole 250^3": ((0, 0, 0), (250, 250, 250)),
    "130^3 across chunks": ((30, 40, 50), (160, 170, 180)),
}
SHARDING = {
    "@type": "neuroglancer_uint64_sharded_v1",
    "preshift_bits": 3,
    "minishard_bits": 3,
    "shard_bits": 2,
    "hash": "identity",
    "data_encoding": "gzip",
    "minishard_index_encoding": "gzip",
}


def source_arrays():
    """EM and segmentation [x, y, z], and where they are from."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data" / "fib25"
    if folder.is_dir():
        em, seg = (
            np.asarray(CloudVolume(f"file://{folder / name}", progress=False)[:])[..., 0]
            for name in ("em", "seg")
        )
        return em, seg, "FIB-25, 250^3 voxels"
    random = np.random.default_rng(0)
    coarse = random.integers(1, 500, (25, 25, 25), dtype=np.uint64)
    seg = coarse.repeat(10, 0).repeat(10, 1).repeat(10, 2)
    return random.integers(0, 256, seg.shape, dtype=np.uint8), seg, "made, 250^3 voxels"


def write_unsharded(folder, array, encoding, compress):
    info = CloudVolume.create_new_info(
        1, "image" if array.dtype == np.uint8 else "segmentation", str(array.dtype), encoding, SIZE_NM,
        (0, 0, 0), array.shape, chunk_size=CHUNK,
    )  # fmt: skip
    volume = CloudVolume(f"file://{folder}", info=info, compress=compress, progress=False)
    volume.commit_info()
    volume[:] = array[..., None]


def write_sharded(folder, array, encoding):
    scale = {"size": array.shape, "encoding": encoding, "chunk_size": CHUNK, "resolution": SIZE_NM}
    if encoding == "compressed_segmentation":
        scale["compressed_segmentation_block_size"] = [8, 8, 8]
    kind = "image" if array.dtype == np.uint8 else "segmentation"
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": {"driver": "file", "path": f"{folder}/"},
        "multiscale_metadata": {"data_type": str(array.dtype), "num_channels": 1, "type": kind},
        "scale_metadata": {**scale, "sharding": SHARDING},
        "create": True,
    }
    tensorstore.open(spec).result()[..., 0].write(array).result()


def volumes(folder, em, seg):
    """Name and folder of each volume, written one after the other."""
    for name, array, encoding, compress in (
        ("EM raw", em, "raw", False),
        ("EM raw, gzip", em, "raw", "gzip"),
        ("EM jpeg", em, "jpeg", False),
        ("labels raw", seg, "raw", False),
        ("labels compressed_segmentation", seg, "compressed_segmentation", False),
        ("labels compressed_segmentation, gzip", seg, "compressed_segmentation", "gzip"),
        ("labels compresso", seg, "compresso", False),
    ):
        write_unsharded(folder / name, array, encoding, compress)
        yield name, folder / name
    for name, array, encoding in (
        ("EM raw, sharded", em, "raw"),
        ("EM jpeg, sharded", em, "jpeg"),
        ("labels compressed_segmentation, sharded", seg, "compressed_segmentation"),
    ):
        write_sharded(folder / name, array, encoding)
        yield name, folder / name


def readers(folder):
    """The ways to read, by name; those that cannot read the volume are left out when they fail."""
    cv = CloudVolume(f"file://{folder}", progress=False)
    one = {"cache_pool": {"total_bytes_limit": 0}, "data_copy_concurrency": {"limit": 1}}
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": {"driver": "file", "path": f"{folder}/"},
        "fill_missing_data_reads": False,
    }
    ours = open_volume(f"precomputed://{folder}", voxel_size_nm=SIZE_NM)

    def with_tensorstore(start, stop, array=[]):  # noqa: B006 - opened once
        if not array:
            array.append(tensorstore.open(spec, context=tensorstore.Context(one), read=True).result())
        window = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        return np.ascontiguousarray(array[0][window][..., 0].read(order="F").result().T)

    def with_cloud_volume(start, stop):
        window = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        return np.ascontiguousarray(np.asarray(cv[window])[..., 0].T)

    return {
        "cloud-volume": with_cloud_volume,
        "tensorstore": with_tensorstore,
        "segclr": lambda start, stop: ours.read(BoundingBox(start, stop)),
    }


def measure(name, folder, repeats):
    found = []
    for box_name, (start, stop) in BOXES.items():
        seconds, processor, wanted = {}, {}, None
        ways = readers(folder)
        for _ in range(repeats):
            for way, read in list(ways.items()):
                begin, begin_cpu = time.perf_counter(), time.process_time()
                try:
                    values = read(start, stop)
                except ValueError as error:
                    if way != "tensorstore":
                        raise
                    print(f"{name}: {way} cannot read it: {str(error)[:80]}")
                    del ways[way]
                    continue
                seconds.setdefault(way, []).append(time.perf_counter() - begin)
                processor.setdefault(way, []).append(time.process_time() - begin_cpu)
                wanted = values if wanted is None else wanted
                if not np.array_equal(values, wanted):
                    msg = f"{name}: {way} reads other voxels"
                    raise SystemExit(msg)
        best = {way: min(s) for way, s in seconds.items()}
        cpu = {way: min(s) for way, s in processor.items()}
        found.append(
            {
                "volume": name,
                "box": box_name,
                "milliseconds": {w: round(s * 1000, 2) for w, s in best.items()},
                "ratio": {w: round(best["cloud-volume"] / s, 2) for w, s in best.items()},
                "ratio_processor_time": {w: round(cpu["cloud-volume"] / s, 2) for w, s in cpu.items()},
            }
        )
        of_cpu = found[-1]["ratio_processor_time"]
        ratios = ", ".join(f"{w} {r:.2f} ({of_cpu[w]:.2f})" for w, r in found[-1]["ratio"].items())
        print(f"| {name} | {box_name} | {best['cloud-volume'] * 1000:.1f} ms | {ratios} |", flush=True)
    return found


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/block_reading.json"))
    arguments = parser.parse_args()
    em, seg, origin = source_arrays()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, path in volumes(Path(folder), em, seg):
            rows += measure(name, path, arguments.repeats)
    report = {
        "data": origin,
        "chunk_vx": CHUNK,
        "baseline": "cloud-volume",
        "repeats": arguments.repeats,
        "machine": f"{processor()}, {os.cpu_count()} cores, shared",
        "rows": rows,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
