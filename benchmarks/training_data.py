"""Cubes for training on one core: from memory, from the store, cut from the volume; and waiting for them.

    python benchmarks/training_data.py [--out benchmarks/results/training_data.json]

Batches of 64 random pairs of one block of made tissue, as training asks for them. Cubes a second are by
processor time of all threads; files are in the page cache. The baseline cuts each batch by ``cut_cubes``,
which keeps nothing. Waiting is by the clock: the share of the steps' time that the training thread (one, with
the demo's encoder) waits for its batch, read when asked for or ahead by a thread.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from processor import processor

from segclr.config import AugmentConfig, TissueConfig, load_config
from segclr.data.cubes import cut_cubes
from segclr.data.neuropil import create_volumes, make_block, volume_urls, write_block
from segclr.data.volume import open_volume
from segclr.model import NtXent, build_network
from segclr.store.cubes import create_cube_store
from segclr.train import ArrayCubes, PairDataset, PairRows, VolumeCubes, random_views
from segclr.train.datamodule import ReadAhead

BATCH_PAIRS = 64
STEPS = 12
N_CENTERS = {29: 2048, 65: 512}
SHARD = 256
WAITING_VX = 29  # the demo's stored cubes; larger ones take this encoder minutes


def rate(cubes, pairs, steps):
    """Cubes a second of some steps."""
    dataset = PairDataset(cubes, pairs, batch_pairs=BATCH_PAIRS, seed=0)
    start = time.process_time()
    for step in steps:
        dataset[step]
    return len(steps) * 2 * BATCH_PAIRS / (time.process_time() - start)


class Uncached:
    """Every batch cut anew."""

    def __init__(self, em, segmentation, points, ids, size_vx):
        self.arguments = em, segmentation
        self.points, self.ids, self.size_vx = points, ids, size_vx

    def __len__(self):
        return len(self.ids)

    def read(self, rows):
        return cut_cubes(*self.arguments, self.points[rows], self.ids[rows], size_vx=self.size_vx)


def waiting(cubes, pairs, size_vx):
    """Share of the time waited without and with a thread that reads ahead, and a step's seconds."""
    network = build_network(load_config("configs/demo.yaml").encoder, seed=0)
    dataset = PairDataset(cubes, pairs, batch_pairs=BATCH_PAIRS, seed=0)
    loss, shares = NtXent(0.1), {}
    orders = {"when_asked": (dataset[k] for k in range(STEPS)), "ahead": ReadAhead(dataset, range(STEPS))}
    for name, order in orders.items():
        batches, waited, begin = iter(order), 0.0, None
        while True:
            before = time.perf_counter()
            batch = next(batches, None)
            if batch is None:
                break
            if begin is None:  # the first batch is waited for in any case, once a run
                begin = time.perf_counter()
            else:
                waited += time.perf_counter() - before
            views = random_views(
                batch, AugmentConfig(), seed=0, voxel_size_nm=(64.0, 64.0, 80.0), size_vx=size_vx
            )
            a, b = network.project(network(views)).chunk(2)
            loss(a, b, None).backward()
        total = time.perf_counter() - begin
        shares[f"{name}_share_waited"] = round(waited / total, 4)
        shares[f"{name}_step_s"] = round(total / STEPS, 3)
    return shares


def measure(em, segmentation, size_vx, folder):
    random = np.random.default_rng(0)
    ids = segmentation.read(segmentation.bounds)
    inside = np.flatnonzero(ids)
    chosen = np.sort(random.choice(inside, N_CENTERS[size_vx], replace=False))
    z, y, x = np.unravel_index(chosen, ids.shape)
    points = (np.stack([x, y, z], axis=1) + 0.5) * em.voxel_size_nm
    n = len(chosen)
    rows = random.permutation(n)
    pairs = PairRows(rows, np.roll(rows, 1), np.zeros(n, np.int64))
    where = em, segmentation, points, ids[z, y, x]
    cubes = cut_cubes(*where, size_vx=size_vx)
    store = create_cube_store(f"{folder}/{size_vx}.zarr", n_rows=n, size_vx=size_vx, shard_cubes=SHARD)
    store.write(0, cubes)
    store.read(np.arange(8))
    n_bytes = em.bounds.n_voxels * 3  # EM and labels of two bytes
    roomy = VolumeCubes(*where, size_vx=size_vx, cache_bytes=2 * n_bytes)
    tight = VolumeCubes(*where, size_vx=size_vx, cache_bytes=n_bytes // 4)
    uncached = rate(Uncached(*where, size_vx), pairs, range(2))
    rates = {
        "memory": rate(ArrayCubes(cubes), pairs, range(STEPS)),
        "store": rate(store, pairs, range(STEPS)),
        "volume, first batch": rate(roomy, pairs, range(1)),
        "volume, all blocks kept": rate(roomy, pairs, range(1, STEPS)),
        "volume, a quarter of the blocks kept": rate(tight, pairs, range(3)),
    }
    result = {
        "baseline_cubes_a_s": round(uncached, 1),
        "stored_bytes_a_cube": round(
            sum(p.stat().st_size for p in Path(store.url).rglob("*") if p.is_file()) / n
        ),
        **{
            k: {"cubes_a_s": round(v, 1), "ratio_to_baseline": round(v / uncached, 2)}
            for k, v in rates.items()
        },
    }
    if size_vx == WAITING_VX:
        result["waiting, store"] = waiting(store, pairs, size_vx)
        result["waiting, volume"] = waiting(roomy, pairs, size_vx)
    print(size_vx, json.dumps(result, indent=1), flush=True)
    return result


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "training_data.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    result = {
        "machine": f"{processor()}, 1 shared core, Python {platform.python_version()}",
        "baseline": "cut_cubes for each batch of 64 random pairs in one block of made tissue",
    }
    config = TissueConfig(n_blocks=1)
    with tempfile.TemporaryDirectory() as folder:
        create_volumes(config, folder)
        write_block(make_block(config, seed=0, block=0), folder)
        urls = volume_urls(folder)
        em, segmentation = (
            open_volume(urls[name], voxel_size_nm=config.voxel_size_nm) for name in ("em", "segmentation")
        )
        for size_vx in N_CENTERS:
            result[f"{size_vx} voxels"] = measure(em, segmentation, size_vx, folder)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
