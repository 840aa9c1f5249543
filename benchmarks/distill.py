"""A big encoder, a small one distilled from it, and the small one trained on pairs alone: size, speed, F1.

    .venv/bin/python benchmarks/distill.py [--seed 0]        # runs what is missing in runs/distill-*

All three on the same made tissue; the two small ones see the same cubes for the same number of steps. Speed
is cubes a second of processor time on one thread, in this run; ratios are to the teacher.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from processor import processor

from segclr.model import load_encoder
from segclr.model.flops import gflop_per_cube
from segclr.store.cubes import open_cube_store

ROOT = Path(__file__).resolve().parents[1]
RESULT = Path(__file__).parent / "results" / "distill.json"
N_CUBES = 256
REPEATS = 3
SHARED = (
    "train.threads=1",
    "cluster.kind=none",
    "evaluate.untrained_baseline=false",
    "evaluate.forest_baseline=false",
)
STUDENT_STEPS = "train.steps=400"
RUNS = {
    "teacher": ("demo", ("encoder.width=0.5", "train.steps=700")),
    "distilled": ("distill", ("distill.teacher=runs/distill-teacher/encoder", STUDENT_STEPS)),
    "pairs alone": ("distill", ("distill=null", STUDENT_STEPS)),
}


def folder(name):
    return Path("runs") / f"distill-{name.replace(' ', '-')}"


def run(name, seed):
    config, overrides = RUNS[name]
    changes = [f"run={folder(name)}", f"seed={seed}", *SHARED, *overrides]
    command = [
        sys.executable,
        "-c",
        "from pipelines.cli import main; main()",
        "run",
        f"configs/{config}.yaml",
    ]
    subprocess.run([*command, *(part for c in changes for part in ("--set", c))], check=True, cwd=ROOT)


def speed(encoder, cubes, precision):
    seconds = []
    for _ in range(REPEATS):
        begin = time.process_time()
        encoder.embed(cubes, device="cpu", precision=precision)
        seconds.append(time.process_time() - begin)
    return len(cubes) / min(seconds)


def scores(name):
    found = {}
    for task in ("compartment", "cell_type"):
        rows = json.loads((ROOT / folder(name) / "evaluation" / f"{task}.json").read_text())
        for row in rows:
            if row["metric"] == "euclidean" and row["radius_um"] in (0, 10):
                found[f"{task}_f1_at_{row['radius_um']:g}_um"] = round(row["macro_f1"], 3)
    (row,) = json.loads((ROOT / folder(name) / "evaluation" / "retrieval.json").read_text())
    return {**found, "retrieval": round(row["share"], 3), "retrieval_chance": round(row["chance"], 3)}


def measure(name):
    encoder = load_encoder(str(ROOT / folder(name) / "encoder"))
    store = open_cube_store(str(ROOT / folder("teacher") / "cubes.zarr"))
    stored = store.read(np.arange(N_CUBES))
    margin = (stored.shape[1] - encoder.size_vx) // 2
    cubes = stored[(slice(None), *[slice(margin, margin + encoder.size_vx)] * 3)]
    result = {
        "parameters": sum(p.numel() for p in encoder.network.parameters()),
        "gflop_per_cube": round(gflop_per_cube(encoder.config, size_vx=encoder.size_vx), 4),
        "cubes_per_s_float32": round(speed(encoder, cubes, "float32")),
        "cubes_per_s_bfloat16": round(speed(encoder, cubes, "bfloat16")),
    }
    if name == "distilled":
        result["explained_share_of_the_teacher"] = round(encoder.training["result"]["explained"], 3)
    return {**result, **scores(name)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.set_num_threads(1)
    for name in RUNS:
        run(name, seed)
    table = {name: measure(name) for name in RUNS}
    teacher = table["teacher"]
    for row in table.values():
        row["speed_float32_over_teacher"] = round(
            row["cubes_per_s_float32"] / teacher["cubes_per_s_float32"], 2
        )
        row["flops_under_teacher"] = round(teacher["gflop_per_cube"] / row["gflop_per_cube"], 1)
    machine = f"{processor()}, 1 thread of 2 shared cores, CPU only, Python {platform.python_version()}"
    RESULT.write_text(json.dumps({"machine": machine, "seed": seed, "encoders": table}, indent=1) + "\n")
    print(RESULT.read_text())


if __name__ == "__main__":
    main()
