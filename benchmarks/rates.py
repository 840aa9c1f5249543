"""The rates that `segclr plan` multiplies with, measured on one core of this machine.

    .venv/bin/python benchmarks/rates.py [--config MINE.yaml] [--seed 0] [--out benchmarks/results/rates.json]

Made tissue (one block of the default size) is written, read, skeletonized and cut; the encoders of the demo,
of configs/fib25.yaml, of the published architecture at 129 voxels and of --config are run on its cubes, on a
GPU too where there is one, without skipping empty space, since what that saves depends on the masks. CPU
rates are by processor time of one thread, so that other work on the machine does not count; GPU rates are by
the clock. The last column is the ratio to a baseline in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from dataclasses import replace
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from processor import processor

from pipelines.nodes import place_nodes
from segclr import files
from segclr.config import (
    EncoderConfig,
    NodeConfig,
    PairConfig,
    SkeletonConfig,
    TissueConfig,
    load_config,
)
from segclr.data.clip import drop_nodes
from segclr.data.cubes import cut_cubes
from segclr.data.labels import read_block
from segclr.data.neuropil import create_volumes, make_block, volume_urls, write_block
from segclr.data.node_facts import cable_table
from segclr.data.nodes import NodeTable
from segclr.data.pairs import allot_pairs, draw_pairs
from segclr.data.skeletonize import skeletonize_array
from segclr.data.snap import snap_points
from segclr.data.volume import ArraySource, Volume, open_volume
from segclr.model.encoder import Encoder
from segclr.model.flops import gflop_per_cube
from segclr.store.cubes import create_cube_store
from segclr.store.parquet import write_columns

CUT_VX = 33
CPU_SECONDS = 8.0


def core_seconds(work, *, clock=time.process_time):
    """Answer of some work and the processor time it took."""
    start = clock()
    answer = work()
    return answer, clock() - start


def write_tissue(config, seed, folder):
    create_volumes(config, folder)
    block, seconds = core_seconds(lambda: make_block(config, seed=seed, block=0))
    write_block(block, folder)
    return block.em.size / 1e6 / seconds


def measure_volume(config, folder):
    """Reading, skeletons, nodes and pairs; answers rates, the ratio of each to its baseline, and nodes."""
    urls = volume_urls(folder)
    size = config.voxel_size_nm
    em, segmentation = (open_volume(urls[k], voxel_size_nm=size) for k in ("em", "segmentation"))
    em.read(em.bounds.grow(-64))  # libraries loaded, handles open
    block, read_s = core_seconds(lambda: read_block(em, segmentation, em.bounds))
    n_bytes = block.em.nbytes + em.bounds.n_voxels * segmentation.dtype.itemsize
    labels = segmentation.read(segmentation.bounds)
    _, memory_s = core_seconds(lambda: (block.em.copy(), labels.copy()))
    skeletons, skeletons_s = core_seconds(
        lambda: skeletonize_array(labels, SkeletonConfig(), voxel_size_nm=size)
    )
    node_config = NodeConfig()

    def place():
        nodes = NodeTable.concatenate(place_nodes(s, node_config) for s in skeletons)
        reach_nm = node_config.snap_nm
        snapped = snap_points(nodes.points_nm, nodes.segment_ids, segmentation, reach_nm=reach_nm)
        return drop_nodes(replace(nodes, points_nm=snapped.points_nm), snapped.lost)

    _, snap_read_s = core_seconds(lambda: segmentation.read(segmentation.bounds))
    nodes, nodes_s = core_seconds(place)

    def draw():
        config = PairConfig(n_pairs=5000, max_distance_nm=6000)
        n_pairs = allot_pairs(cable_table(nodes)["cable_nm"], config)
        held_out = np.zeros(len(n_pairs), dtype=bool)
        return draw_pairs(nodes, config, n_pairs=n_pairs, held_out=held_out, seed=0)

    pairs, pairs_s = core_seconds(draw)
    mvoxel = labels.size / 1e6
    rates = {
        "read_mb_per_s": n_bytes / 1e6 / read_s,
        "skeletonize_mvoxel_per_s": mvoxel / skeletons_s,
        # reading is told apart in a plan
        "nodes_per_s": len(nodes) / max(nodes_s - snap_read_s, 0.1 * nodes_s),
        "pairs_per_s": len(pairs) / pairs_s,
    }
    ratios = {
        "read_mb_per_s": ("copying the same arrays in memory", memory_s / read_s),
        "skeletonize_mvoxel_per_s": ("reading the same voxels", snap_read_s / skeletons_s),
    }
    return rates, ratios, nodes


def measure_cubes(config, folder, nodes):
    """Cutting from memory, and storing: answers rates, ratios, and the cubes."""
    urls = volume_urls(folder)
    em, segmentation = (
        Volume(ArraySource(v.read(v.bounds), v.voxel_size_nm, v.bounds.start))
        for v in (open_volume(urls[k], voxel_size_nm=config.voxel_size_nm) for k in ("em", "segmentation"))
    )
    some = nodes.take(np.arange(min(1024, len(nodes))))
    _, block_s = core_seconds(lambda: read_block(em, segmentation, em.bounds))
    cubes, cut_s = core_seconds(
        lambda: cut_cubes(em, segmentation, some.points_nm, some.segment_ids, size_vx=CUT_VX)
    )
    _, copy_s = core_seconds(lambda: cubes.copy())
    url = files.join(folder, "cubes.zarr")
    store = create_cube_store(url, n_rows=1024, size_vx=CUT_VX, shard_cubes=256)
    _, store_s = core_seconds(lambda: store.write(0, cubes))
    stored = sum(p.stat().st_size for p in Path(url).rglob("*") if p.is_file())
    vectors = np.random.default_rng(0).normal(size=(100_000, 64)).astype(np.float32)
    rows = np.arange(len(vectors), dtype=np.uint64)
    columns = {"segment_id": rows, "embedding": vectors}
    _, write_s = core_seconds(lambda: write_columns(files.join(folder, "vectors.parquet"), columns))
    mvoxel = cubes.size / 1e6
    cut_only_s = max(cut_s - block_s, 0.1 * cut_s)
    rates = {
        "cut_mvoxel_per_s": mvoxel / cut_only_s,
        "write_cube_mvoxel_per_s": mvoxel / store_s,
        "stored_share_of_cube": stored / cubes.size,
        "write_mb_per_s": (vectors.nbytes + rows.nbytes) / 1e6 / write_s,
    }
    ratios = {
        "cut_mvoxel_per_s": ("copying the cubes", copy_s / cut_only_s),
        "write_cube_mvoxel_per_s": ("copying the cubes", copy_s / store_s),
        "write_mb_per_s": ("copying the columns", core_seconds(lambda: vectors.copy())[1] / write_s),
    }
    return rates, ratios


def measure_encoder(name, config, *, size_vx, precision, device):
    """Cubes a second of one encoder; GPU figures only where a GPU is."""
    encoder = Encoder.untrained(config, voxel_size_nm=(32, 32, 40), size_vx=size_vx, seed=0)
    gflop = gflop_per_cube(config, size_vx=size_vx)
    on_gpu = device == "cuda"
    batch = 16 if on_gpu else max(1, min(64, round(10 / gflop)))
    cubes = np.random.default_rng(0).integers(0, 255, (batch, *(size_vx,) * 3), dtype=np.uint8)

    def encode():
        return encoder.embed(cubes, batch_size=batch, device=device, precision=precision, engine="dense")

    encode()
    clock = time.perf_counter if on_gpu else time.process_time
    n_cubes, seconds = 0, 0.0
    while seconds < CPU_SECONDS:
        seconds += core_seconds(encode, clock=clock)[1]
        n_cubes += batch
    return {
        "name": name,
        "config": config.model_dump(mode="json"),
        "size_vx": size_vx,
        "precision": precision,
        "device": torch.cuda.get_device_name() if on_gpu else "cpu core",
        "gflop_per_cube": gflop,
        "cubes_per_s": n_cubes / seconds,
    }


def matrix_gflop_per_s():
    """The baseline of encoders: one large float32 matrix product on one core."""
    a = torch.ones(1024, 1024)
    a @ a
    _, seconds = core_seconds(lambda: [a @ a for _ in range(20)])
    return 20 * 2 * 1024**3 / 1e9 / seconds


def encoders(path):
    """(name, encoder, cube edge, precision) of what is measured."""
    for given in [Path("configs/demo.yaml"), Path("configs/fib25.yaml"), *([path] if path else [])]:
        run = load_config(str(given))
        for precision in dict.fromkeys(("float32", run.embed.precision, run.train.precision)):
            yield given.stem, run.encoder, run.cubes.size_vx, precision
    yield "published, 129 voxels", EncoderConfig(), 129, "float32"
    yield "published, 129 voxels", EncoderConfig(), 129, "auto"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/rates.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config = TissueConfig(n_blocks=1)
    with tempfile.TemporaryDirectory() as folder:
        rates = {"tissue_mvoxel_per_s": write_tissue(config, arguments.seed, folder)}
        of_volume, ratios, nodes = measure_volume(config, folder)
        of_cubes, more = measure_cubes(config, folder, nodes)
    rates |= of_volume | of_cubes
    ratios |= more
    baseline = matrix_gflop_per_s()
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    measured = [
        measure_encoder(name, encoder, size_vx=size, precision=precision, device=device)
        for device in devices
        for name, encoder, size, precision in encoders(arguments.config)
    ]
    print("| rate | one core | ratio to baseline |\n|---|---|---|")
    for key, value in rates.items():
        what, ratio = ratios.get(key, ("", float("nan")))
        print(f"| {key} | {value:.3g} | {f'{ratio:.3g} of {what}' if what else ''} |")
    for e in measured:
        speed = e["gflop_per_cube"] * e["cubes_per_s"]
        print(
            f"| {e['name']}, {e['precision']}, {e['device']} | {e['cubes_per_s']:.3g} cubes/s, {speed:.3g} "
            f"GFLOP/s | {speed / baseline:.3g} of a float32 matrix product |"
        )
    report = {
        "machine": f"one core of {os.cpu_count()}, {processor()}, Python {platform.python_version()}, "
        f"PyTorch {torch.__version__}, local disk" + ("" if len(devices) > 1 else ", no GPU"),
        "tissue": config.model_dump(mode="json"),
        "seed": arguments.seed,
        "cut_vx": CUT_VX,
        "baseline_gflop_per_s": baseline,
        "ratios": {k: {"baseline": what, "ratio": ratio} for k, (what, ratio) in ratios.items()},
        "rates": rates,
        "encoders": measured,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
