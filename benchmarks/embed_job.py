"""The embedding job end to end: nodes/s, the share of time waiting for data, and the memory of a worker.

    .venv/bin/python benchmarks/embed_job.py [--blocks 4] [--out benchmarks/results/embed_job.json]

Made tissue of the demo (cubes of 25 voxels) is embedded with the demo's encoder, untrained: the stages embed
and compact in one process, and with one and two worker processes, each in an empty folder with the same
nodes. The baseline is encoding the same cubes from memory, in one process: the ratio to it is what the job
keeps. Waiting is the time that encoding stands still for the next window, of a serial job that reads ahead
and of one that does not.

Memory is the most that a process held while it embedded one block of work of 129 voxels at 512, and
eight of them together, with volumes that are made when they are read: once with few nodes and once with ten
times as many.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
import yaml
from processor import processor

import segclr.embed.block
from pipelines.blocks import run_stage
from pipelines.cluster import Executors
from pipelines.embed import check_complete, compact_stage, embed_stage
from pipelines.nodes import read_nodes
from pipelines.run import TRAINED, Run
from pipelines.workflow import run_one
from segclr.config import ClusterConfig, EmbedConfig, EncoderConfig, RunConfig
from segclr.data.cubes import cut_cubes
from segclr.data.volume import Volume
from segclr.embed import embed_nodes
from segclr.geometry import BoundingBox
from segclr.model.encoder import Encoder

SMALL = EncoderConfig(depth=10, stages=2, width=0.125, stem="patch", bottleneck_hidden=16)
VOXEL = (32.0, 32.0, 40.0)


def prepare(folder, n_blocks):
    """Tissue, nodes and an encoder."""
    tree = yaml.safe_load(Path("configs/demo.yaml").read_text())
    tree |= {"run": folder, "tissue": {"n_blocks": n_blocks}}
    tree["evaluate"]["untrained_baseline"] = False
    config = RunConfig.model_validate(tree)
    for stage in ("tissue", "nodes"):
        run_one(config, stage)
    encoder = Encoder.untrained(
        config.encoder,
        voxel_size_nm=config.tissue.voxel_size_nm,
        size_vx=config.cubes.size_vx,
        seed=0,
    )
    encoder.save(f"{folder}/encoder")
    return Run(folder, config), encoder


def embedded(run, cluster):
    """Seconds of embed and compact, the second time: workers have imported all and loaded the encoder."""
    with Executors(cluster) as executors:
        for _ in range(2):
            for name in ("parts", "embeddings", "records/embed", "records/compact"):
                shutil.rmtree(run.path(name), ignore_errors=True)
            stage = embed_stage(run, TRAINED)
            start = time.perf_counter()
            run_stage(run, stage, executors)
            middle = time.perf_counter()
            run_stage(run, compact_stage(run, TRAINED), executors)
            end = time.perf_counter()
    check_complete(run, TRAINED)
    return middle - start, end - middle


@contextlib.contextmanager
def waiting(*, reads_ahead):
    """Seconds spent in waiting for windows, in a list of one number."""
    spent, original = [0.0], segclr.embed.block.ahead

    def timed(items):
        source = iter(original(items) if reads_ahead else items)
        while True:
            start = time.perf_counter()
            item = next(source, None)
            spent[0] += time.perf_counter() - start
            if item is None:
                return
            yield item

    segclr.embed.block.ahead = timed
    try:
        yield spent
    finally:
        segclr.embed.block.ahead = original


def speeds(n_blocks):
    with tempfile.TemporaryDirectory() as folder:
        run, encoder = prepare(f"{folder}/run", n_blocks)
        nodes = read_nodes(run)
        rows = []
        for reads_ahead in (True, False):
            with waiting(reads_ahead=reads_ahead) as spent:
                embed_s, compact_s = embedded(run, ClusterConfig(kind="none"))
            spent[0] /= 2  # of two times
            rows.append(
                {
                    "job": f"serial, {'reading ahead' if reads_ahead else 'reading in turn'}",
                    "nodes_per_s": round(len(nodes) / (embed_s + compact_s), 1),
                    "embed_s": round(embed_s, 2),
                    "compact_s": round(compact_s, 2),
                    "share_waiting_for_data": round(spent[0] / embed_s, 4),
                }
            )
        for workers in (1, 2):
            cluster = ClusterConfig(kind="local", workers=workers, memory_gb=3)
            embed_s, compact_s = embedded(run, cluster)
            rows.append(
                {
                    "job": f"local, {workers} worker{'s' * (workers > 1)}",
                    "nodes_per_s": round(len(nodes) / (embed_s + compact_s), 1),
                    "embed_s": round(embed_s, 2),
                    "compact_s": round(compact_s, 2),
                }
            )
        em, segmentation = run.open_volumes()
        size = run.config.cubes.size_vx
        cubes = cut_cubes(em, segmentation, nodes.points_nm, nodes.segment_ids, size_vx=size)
        torch.set_num_threads(1)
        start = time.perf_counter()
        encoder.embed(cubes, batch_size=64, device="cpu", precision=run.config.embed.precision)
        bare = len(nodes) / (time.perf_counter() - start)
        for row in rows:
            row["ratio_to_encoding_alone"] = round(row["nodes_per_s"] / bare, 3)
        return {
            "n_nodes": len(nodes),
            "n_blocks": n_blocks,
            "size_vx": size,
            "encoding_alone_nodes_per_s": round(bare, 1),
            "jobs": rows,
        }


class Made:
    """A volume whose voxels are made when they are read: 4096 a side, columns of 32 x 32 are segments."""

    url, voxel_size_nm, chunk_size_vx = "made", VOXEL, (64, 64, 64)
    bounds = BoundingBox((0, 0, 0), (4096,) * 3)

    def __init__(self, dtype):
        self.dtype = np.dtype(dtype)

    def read_inside(self, box):
        if self.dtype == np.uint8:
            return np.full(box.shape_zyx, 128, dtype=np.uint8)
        y = np.arange(box.start[1], box.stop[1], dtype=np.uint64)[:, None] // 32
        x = np.arange(box.start[0], box.stop[0], dtype=np.uint64)[None, :] // 32
        return np.ascontiguousarray(np.broadcast_to(y * 128 + x + 1, box.shape_zyx))


def embed_made(edge, n_nodes):
    """Embed nodes of a box in the middle of the volume; prints the most memory before and after."""
    torch.set_num_threads(1)
    em, segmentation = Volume(Made(np.uint8)), Volume(Made(np.uint64))
    encoder = Encoder.untrained(SMALL, voxel_size_nm=VOXEL, size_vx=129, seed=0)
    voxels = np.random.default_rng(0).integers(1024, 1024 + edge, (n_nodes, 3))
    ids = (voxels[:, 1] // 32 * 128 + voxels[:, 0] // 32 + 1).astype(np.uint64)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    points = ((voxels + 0.5) * VOXEL).astype(np.float32)
    config = EmbedConfig(batch_size=4, device="cpu")
    embed_nodes(encoder, em, segmentation, points_nm=points, segment_ids=ids, config=config)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps([before, after]))


def memory():
    rows = []
    for edge, n_nodes in ((512, 40), (512, 400), (1024, 40), (1024, 400)):
        command = [sys.executable, __file__, "--made", str(edge), str(n_nodes)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        before, after = json.loads(done.stdout.splitlines()[-1])
        window = (edge + 128) ** 2 * (129 + 64) * 3  # EM and labels of two bytes
        rows.append(
            {
                "part": f"{edge} voxels a side, {n_nodes} nodes, cubes of 129",
                "most_gb": round(after / 1e9, 3),
                "of_it_interpreter_and_libraries_gb": round(before / 1e9, 3),
                "one_window_gb": round(window / 1e9, 3),
            }
        )
    return rows


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--made", nargs=2, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--out", default="benchmarks/results/embed_job.json")
    options = parser.parse_args()
    if options.made:
        embed_made(*options.made)
        return
    machine = f"{processor()}, {os.cpu_count()} shared cores, CPU only, Python"
    result = {
        "machine": f"{machine} {platform.python_version()}, torch {torch.__version__}",
        "speed": speeds(options.blocks),
        "memory": memory(),
    }
    Path(options.out).write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
