"""A GPU at work: encoders on cubes of real masks, the cutter, the embedding job, training, the classifier.

    .venv/bin/python benchmarks/gpu.py --prepare gpu_input.npz        # where ../shared/data is; no GPU needed
    .venv/bin/python benchmarks/gpu.py --input gpu_input.npz [--only encoder job ...]

Masks are those of pinky40 at 32x32x40 nm; grey, nodes and the network of random weights are those of
encoder_speed.py, places those of cutter.py. Every engine's vectors are compared with float64 on
the same device, and two with float32 on the CPU; the baseline is PyTorch's eager float32 (no TensorFloat-32),
contiguous. Times are by the clock, medians of three after one that does not count. Rows are written as they
come, so that a run that is cut short keeps them. A check that fails ends the benchmark with an error.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from cutter import places, write
from embed_job import waiting
from encoder_speed import centres, cut, network, read

from segclr.classify import ResNetClassifier
from segclr.config import EmbedConfig, EncoderConfig, TrainConfig
from segclr.data.labels import LabelledBlock
from segclr.data.volume import open_volume
from segclr.embed.block import embed_nodes
from segclr.embed.cut import device_block, to_device
from segclr.geometry import BoundingBox
from segclr.model.encoder import Encoder
from segclr.model.engine import make_predictor
from segclr.train import PairRows
from segclr.train.data import TrainingData
from segclr.train.dataset import ArrayCubes
from segclr.train.fit import train_encoder

SIZE = 129
VOXEL = (32.0, 32.0, 40.0)
RESULT = Path(__file__).parent / "results" / "gpu.json"
KINDS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
CPU = torch.device("cpu")


def prepare(path, n_cubes):
    """Labels, nodes and cubes, so that a machine without the data can measure."""
    labels, em = read("pinky40", (32, 32, 40)), read("fib25/em", (10, 10, 10))
    grey = np.maximum(em[60 : 60 + SIZE, 60 : 60 + SIZE, 60 : 60 + SIZE], 1)
    nodes = centres(labels)
    drawn = nodes[np.random.default_rng(0).permutation(len(nodes))[:n_cubes]]
    cubes = np.stack([cut(labels, grey, c) for c in drawn])
    ids, dense = np.unique(labels, return_inverse=True)
    assert ids[0] == 0
    dense = dense.reshape(labels.shape).astype(np.uint16)
    at, _ = places(labels, 10**6, seed=1)
    np.savez_compressed(path, cubes=cubes, labels=dense, places=at)
    print(f"{len(cubes)} cubes, volume {labels.shape} (z, y, x), {len(at)} places, {len(ids) - 1} segments")


def seconds(work, device, *, repeats=3):
    work()
    taken = []
    for _ in range(repeats):
        synchronize(device)
        start = time.perf_counter()
        work()
        synchronize(device)
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def synchronize(device):
    if device.type == "cuda":
        torch.cuda.synchronize()


def forget_peak(device):
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_gb(device):
    return torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else None


def limits(device):
    """TFLOP/s of one large matrix product in each format, and GB/s of a copy, read and write counted."""
    n = 8192 if device.type == "cuda" else 1024
    found = {}
    for name, kind in KINDS.items():
        if device.type == "cuda" or kind != torch.float16:
            a, b = (torch.randn(n, n, device=device).to(kind) for _ in range(2))
            found[name] = 2 * n**3 / seconds(lambda a=a, b=b: a @ b, device, repeats=10) / 1e12
    a = torch.randint(0, 255, (n * n * 32,), dtype=torch.uint8, device=device)
    b = torch.empty_like(a)
    found["copy_gb_per_s"] = 2 * a.numel() / seconds(lambda: b.copy_(a), device, repeats=10) / 1e9
    return found


def eager(net, device, kind):
    """PyTorch's layers as they are."""
    net = copy.deepcopy(net)

    def run(cubes):
        with (
            torch.inference_mode(),
            torch.backends.cudnn.flags(enabled=True, benchmark=False, allow_tf32=False),
            torch.autocast(device.type, kind, enabled=kind != torch.float32),
        ):
            return net(cubes[:, None].float() / 255).float()

    return run


def engines(net, device):
    """(name, format, cubes at once, how to make it), the baseline first."""
    yield "eager", "float32", 8, lambda: eager(net, device, torch.float32)
    for name, kind in KINDS.items():
        if device.type == "cpu" and name == "float16":
            continue
        where = {"size_vx": SIZE, "device": device, "dtype": kind}
        n_dense, n_skip = (32 if name == "float32" else 64, 256) if device.type == "cuda" else (8, 8)
        yield "dense", name, n_dense, lambda where=where: make_predictor(net, engine="dense", **where)
        yield (
            "skip_empty",
            name,
            n_skip,
            lambda where=where: make_predictor(net, engine="skip_empty", **where),
        )


def in_float64(net, cubes, device):
    exact = copy.deepcopy(net).double()

    def embedded(cube):
        features = exact.backbone(cube[None, None].to(device).double() / 255)
        return exact.bottleneck(features.double()).float()

    with torch.inference_mode():
        return torch.cat([embedded(cube) for cube in cubes]).cpu()


def measure_encoder(given, device):
    cubes = torch.from_numpy(given["cubes"])
    made = network()
    net = copy.deepcopy(made).to(device)
    few = cubes[:: max(1, len(cubes) // 24)][:24]
    want = in_float64(net, few, device)
    with torch.inference_mode():
        on_cpu = made(few[:2, None].float() / 255)
    baseline = None
    for name, kind, n, make in engines(net, device):
        forget_peak(device)
        start = time.perf_counter()
        run = make()
        got = torch.cat([run(part.to(device)) for part in few.split(n)]).cpu()
        ready_s = time.perf_counter() - start
        parts = cubes[: 4 * n if device.type == "cuda" else n].to(device).split(n)
        taken = seconds(lambda run=run, parts=parts: [run(part) for part in parts], device)
        rate = sum(map(len, parts)) / taken
        baseline = baseline or rate
        cosine = float(torch.cosine_similarity(got, want).min())
        away = float((got - want).abs().max() / want.abs().max())
        yield {
            "engine": name,
            "precision": kind,
            "batch": n,
            "cubes_per_s": rate,
            "times_eager_float32": rate / baseline,
            "lowest_cosine": cosine,
            "largest_difference": away,
            "largest_difference_from_cpu": float((got[:2] - on_cpu).abs().max() / on_cpu.abs().max()),
            "ready_after_s": ready_s,
            "peak_gb": peak_gb(device),
            "holds": away < 1e-5 if kind == "float32" else cosine > 0.999,
        }
        del run


def measure_edges(given, device):
    """Dense and without empty space in bfloat16, the middles of the same cubes."""
    net = network().to(device)
    for edge in (97, 65, 49, 33):
        first = (SIZE - edge) // 2
        inner = slice(first, first + edge)
        cubes = torch.from_numpy(np.ascontiguousarray(given["cubes"][:, inner, inner, inner])).to(device)
        row = {"edge": edge, "occupancy": float((cubes > 0).float().mean())}
        for engine, n in (("dense", 64), ("skip_empty", 256)):
            run = make_predictor(net, engine=engine, size_vx=edge, device=device, dtype=torch.bfloat16)
            parts = cubes.split(n)
            taken = seconds(lambda run=run, parts=parts: [run(part) for part in parts], device)
            row[f"{engine}_cubes_per_s"] = len(cubes) / taken
        yield row


def measure_cutter(given, device):
    labels, at = given["labels"], given["places"]
    em = np.random.default_rng(0).integers(1, 256, labels.shape, dtype=np.uint8)
    block = LabelledBlock(BoundingBox((0, 0, 0), labels.shape[::-1]), em, labels, {})
    n = min(256, len(at))
    starts, of_each = at[:n, ::-1] - SIZE // 2, labels[tuple(at[:n].T)].astype(np.int64)
    host, there = to_device(block, CPU), device_block(block, device)
    cubes = there.cut(starts, of_each, size_vx=SIZE)
    target = torch.empty_like(cubes)
    by_host = seconds(lambda: host.cut(starts, of_each, size_vx=SIZE), CPU, repeats=1)
    yield {
        "cubes_per_s": n / seconds(lambda: there.cut(starts, of_each, size_vx=SIZE), device),
        "copy_cubes_per_s": n / seconds(lambda: target.copy_(cubes), device),
        "host_cubes_per_s": n / by_host,
        "holds": torch.equal(cubes.cpu(), host.cut(starts, of_each, size_vx=SIZE)),
    }


def measure_job(given, device):
    """embed_nodes over files, the published network: nodes/s and the share of time without data."""
    labels, at = given["labels"].astype(np.uint64), given["places"]
    noise = np.random.default_rng(0).integers(1, 256, labels.shape, dtype=np.uint8)
    config = EncoderConfig(family="legacy")
    encoder = Encoder(config, network().to(device), voxel_size_nm=VOXEL, size_vx=SIZE)
    with tempfile.TemporaryDirectory() as folder:
        write(f"{folder}/em", noise, kind="image", encoding="raw")
        write(f"{folder}/seg", labels, kind="segmentation", encoding="compressed_segmentation")
        em, seg = (
            open_volume(f"precomputed://file://{folder}/{n}", voxel_size_nm=VOXEL) for n in ("em", "seg")
        )
        for engine, n, batch in (("skip_empty", len(at), 256), ("dense", 2000, 64)):
            many = at[:n] if device.type == "cuda" else at[:8]
            points = ((many[:, ::-1] + 0.5) * VOXEL).astype(np.float32)
            ids = labels[tuple(many.T)]
            how = EmbedConfig(batch_size=batch, device=str(device), precision="bfloat16", engine=engine)
            for _ in range(2):  # the first time tries and compiles
                with waiting(reads_ahead=True) as spent:
                    start = time.perf_counter()
                    vectors = embed_nodes(encoder, em, seg, points_nm=points, segment_ids=ids, config=how)
                    taken = time.perf_counter() - start
            yield {
                "engine": engine,
                "nodes": len(many),
                "batch": batch,
                "nodes_per_s": len(many) / taken,
                "share_waiting_for_data": spent[0] / taken,
                "holds": bool(np.isfinite(vectors).all()),
            }


def measure_training(given, device):
    """Pairs a second of the published network by the package's own training; on a CPU of tiny cubes."""
    on_gpu = device.type == "cuda"
    cubes = given["cubes"] if on_gpu else given["cubes"][:, 48:81, 48:81, 48:81]
    n = len(cubes) // 2
    rows = np.arange(n)
    pairs, held_out = (PairRows(r, r + n, r) for r in (rows, rows[:8]))
    data = TrainingData(ArrayCubes(cubes), pairs, held_out, VOXEL, cubes.shape[1])
    steps, batch = (12, 16) if on_gpu else (2, 2)
    ways = [("float32", False)]
    if on_gpu:
        ways += [("bfloat16", False), ("bfloat16", True), ("float16", False)]
    for precision, recompute in ways:
        train = TrainConfig(
            steps=steps,
            batch_pairs=batch,
            precision=precision,
            recompute=recompute,
            learning_rate=1e-4,
            warmup_steps=2,
            validate_every=1000,
            checkpoint_every=1000,
        )
        ticks = []

        def tick(*_, ticks=ticks):
            synchronize(device)
            ticks.append(time.perf_counter())

        forget_peak(device)
        with tempfile.TemporaryDirectory() as folder:
            encoder = EncoderConfig(family="legacy")
            trained = train_encoder(data, encoder=encoder, train=train, folder=folder, seed=0, on_step=tick)
        yield {
            "precision": precision,
            "recompute": recompute,
            "batch_pairs": batch,
            "pairs_per_s": batch / float(np.median(np.diff(ticks[len(ticks) // 3 :]))),
            "peak_gb": peak_gb(device),
            "holds": bool(np.isfinite(trained.training["result"]["loss"])),
        }


def measure_classifier(_given, device):
    rng = np.random.default_rng(0)
    target = rng.integers(0, 5, 20_000)
    rows = 1.5 * rng.standard_normal((5, 64))[target] + rng.standard_normal((len(target), 64))
    cells = (target * 100 + rng.integers(0, 90, len(target))).astype(np.uint64)
    on_cpu = None
    for name in dict.fromkeys(("cpu", str(device))):
        start = time.perf_counter()
        model = ResNetClassifier(epochs=5, device=name).fit(rows, target, cells)
        fitted = time.perf_counter()
        found = model.predict(rows)
        on_cpu = found if on_cpu is None else on_cpu
        yield {
            "device": name,
            "fit_s": fitted - start,
            "predicted_rows_per_s": len(rows) / (time.perf_counter() - fitted),
            "same_class_as_on_cpu": float((found == on_cpu).mean()),
            "holds": bool((found == on_cpu).mean() > 0.98),
        }


PARTS = {
    "encoder": measure_encoder,
    "edges": measure_edges,
    "job": measure_job,
    "cutter": measure_cutter,
    "training": measure_training,
    "classifier": measure_classifier,
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prepare", type=Path)
    parser.add_argument("--cubes", type=int, default=256)
    parser.add_argument("--input", type=Path)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    if options.prepare:
        prepare(options.prepare, options.cubes)
        return
    with np.load(options.input) as stored:
        given = dict(stored)
    device = torch.device(options.device)
    if device.index is not None:
        torch.cuda.set_device(device)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "the CPU"
    machine = f"{name}, PyTorch {torch.__version__}, Python {platform.python_version()}"
    result = {"machine": machine, "cubes": len(given["cubes"]), "limits": limits(device)}
    print(json.dumps(result), flush=True)
    failed = []
    for part in options.only:
        result[part] = []
        for row in PARTS[part](given, device):
            print(part, json.dumps(row), flush=True)
            result[part].append(row)
            options.out.write_text(json.dumps(result, indent=1) + "\n")
            if not row.get("holds", True):
                failed.append(f"{part} {row}")
    if failed:
        sys.exit("checks failed: " + "; ".join(failed))


if __name__ == "__main__":
    main()
