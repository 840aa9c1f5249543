"""Encoders on CPUs: every engine on cubes of real masks, against the machine's own matrix products.

    .venv/bin/python benchmarks/encoder_speed.py [--cubes 24] [--seed 0]

The published network, random weights, 129 voxels. Masks are cut from ../shared/data/pinky40 (32x32x40 nm),
which has no EM: grey is cut from the middle of ../shared/data/fib25, at least 1 within the mask. Cubes are
centred like nodes: in every box of 1500 nm, in each segment of at least 1000 voxels, at the voxel farthest
from the segment's surface; --cubes of them, drawn by --seed. The baseline is PyTorch, eager, float32,
contiguous, one cube at a time. Engines take turns; each cube's best of --repeats times counts.

By default one thread is used, as a worker has, and its processor time is measured, so that other work on the
machine counts little; --threads 2 --clock wall is for a machine where nothing else runs. Ten minutes.
"""

import argparse
import copy
import io
import itertools
import json
import os
import platform
import time
import warnings
from math import prod
from pathlib import Path

import edt
import numpy as np
import torch
from cloudvolume import CloudVolume
from processor import processor

from segclr.config import EncoderConfig
from segclr.model.engine import make_predictor
from segclr.model.network import build_network

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
RESULT = Path(__file__).parent / "results" / "encoder_speed.json"
SIZE = 129
CPU = torch.device("cpu")
NODE_BOX = np.array([38, 47, 47])  # voxels (z, y, x) in 1500 nm
MIN_SEGMENT_VX = 1000
OCCUPANCY_BINS = (0, 0.002, 0.005, 0.01, 0.03, 1)
CLOCKS = {"processor": time.process_time, "wall": time.perf_counter}
ISSUE = {"mean": 0.0084, "median": 0.0037}


def read(name, voxel_nm):
    volume = CloudVolume(f"file://{SHARED / name}", mip=list(voxel_nm), progress=False)
    return np.ascontiguousarray(np.asarray(volume[:, :, :])[..., 0].transpose(2, 1, 0))


def centres(labels):
    """Voxels (z, y, x) where nodes would be."""
    _, dense, counts = np.unique(labels, return_inverse=True, return_counts=True)
    dense = dense.reshape(labels.shape)
    depth = edt.edt(labels, anisotropy=(40, 32, 32), parallel=1)
    places = np.argwhere((labels > 0) & (counts[dense] >= MIN_SEGMENT_VX))
    z, y, x = (places // NODE_BOX).T
    key = ((dense[tuple(places.T)].astype(np.int64) * 64 + z) * 64 + y) * 64 + x
    order = np.lexsort((depth[tuple(places.T)], key))
    last = np.flatnonzero(np.diff(key[order], append=-1) != 0)
    return places[order[last]]


def cut(labels, grey, centre):
    low = centre - SIZE // 2
    first, stop = np.maximum(low, 0), np.minimum(low + SIZE, labels.shape)
    source = tuple(slice(a, b) for a, b in zip(first, stop, strict=True))
    target = tuple(slice(a, b) for a, b in zip(first - low, stop - low, strict=True))
    cube = np.zeros((SIZE,) * 3, np.uint8)
    cube[target] = np.where(labels[source] == labels[tuple(centre)], grey[target], 0)
    return cube


def network():
    """Random weights; norms have statistics, so that an empty cube's activations are not zero."""
    made = build_network(EncoderConfig(family="legacy"), seed=0).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in made.modules():
            if isinstance(module, torch.nn.BatchNorm3d | torch.nn.BatchNorm1d):
                module.running_mean.normal_(0, 0.1, generator=generator)
                module.running_var.uniform_(0.5, 2, generator=generator)
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.1, generator=generator)
                if isinstance(module, torch.nn.BatchNorm1d):  # the head drives cubes apart
                    module.running_var.div_(100)
            elif isinstance(module, torch.nn.Conv3d):
                module.weight.normal_(0, (2 / module.weight[0].numel()) ** 0.5, generator=generator)
    return made


class Plain:
    """The plain port: contiguous, float32, eager, its weights its own."""

    def __init__(self, made, dtype, layout):
        self.network = copy.deepcopy(made).to(memory_format=layout)
        self.dtype, self.layout = dtype, layout

    def __call__(self, cubes):
        grey = (cubes[:, None].float() / 255).contiguous(memory_format=self.layout)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, self.dtype == torch.bfloat16):
            return self.network(grey).float()


class OnnxRuntime:
    def __init__(self, made, threads):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exported = torch.onnx.export(
                made,
                (torch.zeros(2, 1, SIZE, SIZE, SIZE),),
                dynamo=True,
                input_names=["cubes"],
                dynamic_shapes={"cubes": {0: torch.export.Dim("n")}},
                verbose=False,
            )
        exported.save(buffer)
        self.session = onnxruntime.InferenceSession(
            buffer.getvalue(), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, cubes):
        return torch.from_numpy(self.session.run(None, {"cubes": cubes[:, None].float().numpy() / 255})[0])


def engines(made, threads):
    """(name, number format, cubes at once, how to make it), the baseline first."""
    f32, bf16 = torch.float32, torch.bfloat16
    last = torch.channels_last_3d

    def ours(engine, dtype, *, compiled=False):
        where = {"size_vx": SIZE, "device": CPU, "dtype": dtype, "compiled": compiled}
        return lambda: make_predictor(made, engine=engine, **where)

    yield "eager", "float32", 1, lambda: Plain(made, f32, torch.contiguous_format)
    yield "eager, batch of 4", "float32", 4, lambda: Plain(made, f32, torch.contiguous_format)
    yield "eager, channels last (dense)", "float32", 1, lambda: Plain(made, f32, last)
    yield "dense, compiled", "float32", 1, ours("dense", f32, compiled=True)
    yield "onnxruntime", "float32", 1, lambda: OnnxRuntime(made, threads)
    yield "openvino", "float32", 1, ours("openvino", f32)
    yield "skip_empty", "float32", 1, ours("skip_empty", f32)
    yield "skip_empty, batch of 8", "float32", 8, ours("skip_empty", f32)
    yield "eager, channels last (dense)", "bfloat16", 1, lambda: Plain(made, bf16, last)
    yield "dense, compiled", "bfloat16", 1, ours("dense", bf16, compiled=True)
    yield "openvino", "bfloat16", 1, ours("openvino", bf16)
    yield "skip_empty", "bfloat16", 1, ours("skip_empty", bf16)
    yield "skip_empty, batch of 8", "bfloat16", 8, ours("skip_empty", bf16)


def matrix_gflop_per_s(dtype, clock):
    """The limit: one large product, the best of several."""
    a, b = torch.ones(2048, 2048, dtype=dtype), torch.ones(2048, 2048, dtype=dtype)
    seconds = []
    for _ in range(8):
        start = clock()
        a @ b
        seconds.append(clock() - start)
    return 2 * 2048**3 / 1e9 / min(seconds)


class Timed:
    """One engine, its times and answers."""

    def __init__(self, name, precision, at_once, make, cubes, clock):
        self.name, self.precision, self.at_once, self.clock = name, precision, at_once, clock
        start = time.perf_counter()
        self.run = make()
        self.run(cubes[:at_once])
        self.ready_s = time.perf_counter() - start
        self.seconds = np.full(len(cubes), np.inf)

    def measure(self, cubes):
        vectors = []
        for first in range(0, len(cubes), self.at_once):
            some = slice(first, first + self.at_once)
            start = self.clock()
            vectors.append(self.run(cubes[some]))
            took = (self.clock() - start) / len(vectors[-1])
            self.seconds[some] = np.minimum(self.seconds[some], took)
        self.vectors = torch.cat(vectors)

    def row(self, baseline, occupancy, limit_s):
        vectors, want = self.vectors, baseline.vectors
        bins = []
        for low, high in itertools.pairwise(OCCUPANCY_BINS):
            chosen = (occupancy >= low) & (occupancy < high)
            if chosen.any():
                mean_s = float(self.seconds[chosen].mean())
                times = float(baseline.seconds[chosen].mean()) / mean_s
                bins.append(
                    {"from": low, "to": high, "cubes": int(chosen.sum()), "times_eager_float32": times}
                )
                bins[-1]["seconds_a_cube"] = mean_s
        mean_s = float(self.seconds.mean())
        away = (vectors - want).norm(dim=1).max() / (want - want.mean(dim=0)).norm(dim=1).mean()
        return {
            "engine": self.name,
            "precision": self.precision,
            "batch": self.at_once,
            "seconds_a_cube": mean_s,
            "times_eager_float32": float(baseline.seconds.mean()) / mean_s,
            "share_of_matrix_rate": limit_s / mean_s,
            "ready_after_s": self.ready_s,
            "lowest_cosine": float(torch.cosine_similarity(vectors, want).min()),
            "largest_difference": float((vectors - want).abs().max() / want.abs().max()),
            "largest_difference_over_spread_of_cubes": float(away),
            "by_occupancy": bins,
        }


def work_of(predictor, cubes):
    """10^9 products a cube, by stage: those that the cubes need, and those of whole cubes."""
    layers = predictor._layers
    stages = {
        f"stage {number // 2 + 1}": [c for b in layers.blocks[number : number + 2] for c in b.convolutions]
        for number in range(0, len(layers.blocks), 2)
    }
    whole = {"stem": prod(layers.stem.store.map_shape) * 7**3 * 64}
    needed = dict.fromkeys(["stem", *stages], 0)
    for name, convolutions in stages.items():
        whole[name] = sum(prod(c.window.n_out) * c.n_products for c, _ in convolutions)
    for cube in cubes.split(1):
        predictor(cube)
        needed["stem"] += layers.stem.store.n_active * 7**3 * 64
        for name, convolutions in stages.items():
            needed[name] += sum(store.n_active * c.n_products for c, store in convolutions)
    return {
        name: {"needed_gmac": needed[name] / len(cubes) / 1e9, "whole_gmac": whole[name] / 1e9}
        for name in whole
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cubes", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=CLOCKS, default="processor")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    labels, em = read("pinky40", (32, 32, 40)), read("fib25/em", (10, 10, 10))
    grey = np.maximum(em[60 : 60 + SIZE, 60 : 60 + SIZE, 60 : 60 + SIZE], 1)
    nodes = centres(labels)
    rng = np.random.default_rng(arguments.seed)
    drawn = nodes[rng.permutation(len(nodes))]
    of_many = np.array([np.count_nonzero(cut(labels, grey, c)) / SIZE**3 for c in drawn[:400]])
    cubes = torch.from_numpy(np.stack([cut(labels, grey, c) for c in drawn[: arguments.cubes]]))
    occupancy = of_many[: arguments.cubes]

    made, clock = network(), CLOCKS[arguments.clock]
    matrix = {
        str(d).removeprefix("torch."): matrix_gflop_per_s(d, clock) for d in (torch.float32, torch.bfloat16)
    }
    timed = []
    for name, precision, at_once, make in engines(made, arguments.threads):
        timed.append(Timed(name, precision, at_once, make, cubes, clock))
        print(f"{name}, {precision}: ready after {timed[-1].ready_s:.1f} s", flush=True)
    for _ in range(arguments.repeats):
        for engine in timed:
            engine.measure(cubes)
            print(f"{engine.name}, {engine.precision}: {engine.seconds.mean():.3f} s a cube", flush=True)
    skip = make_predictor(made, engine="skip_empty", size_vx=SIZE, device=CPU, dtype=torch.float32)
    work = work_of(skip, cubes)
    needed, whole = (sum(w[key] for w in work.values()) for key in ("needed_gmac", "whole_gmac"))
    rows = []
    for engine in timed:
        gmac = needed if engine.name.startswith("skip_empty") else whole
        rows.append(engine.row(timed[0], occupancy, limit_s=2 * gmac / matrix[engine.precision]))
    report = {
        "machine": f"{arguments.threads} threads on {os.cpu_count()} cores, {processor()}, Python "
        f"{platform.python_version()}, PyTorch {torch.__version__}, load {os.getloadavg()[0]:.1f}",
        "clock": arguments.clock,
        "seed": arguments.seed,
        "size_vx": SIZE,
        "occupancy": {
            "cubes": len(cubes),
            "mean": float(occupancy.mean()),
            "median": float(np.median(occupancy)),
            "of_400_nodes": {"mean": float(of_many.mean()), "median": float(np.median(of_many))},
            "of_the_issue": ISSUE,
        },
        "matrix_gflop_per_s": matrix,
        "work": {name: w | {"share": w["needed_gmac"] / w["whole_gmac"]} for name, w in work.items()},
        "share_of_work": needed / whole,
        "engines": rows,
    }
    arguments.out.write_text(json.dumps(report, indent=1) + "\n")
    print(f"\noccupancy: mean {occupancy.mean():.2%}, median {np.median(occupancy):.2%}")
    print(f"needed: {needed / whole:.0%} of {whole:.1f} GMAC; matrix products {matrix} GFLOP/s\n")
    print("| engine | precision | s a cube | times eager | of matrix rate | lowest cosine | difference |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['engine']} | {row['precision']} | {row['seconds_a_cube']:.3f} | "
            f"{row['times_eager_float32']:.1f} | {row['share_of_matrix_rate']:.0%} | "
            f"{row['lowest_cosine']:.6f} | {row['largest_difference']:.1e} |"
        )


if __name__ == "__main__":
    main()
