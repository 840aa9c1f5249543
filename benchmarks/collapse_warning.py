"""How often the early warning on collapse is right: toy trainings that collapse, and ones that do not.

    OMP_NUM_THREADS=1 python benchmarks/collapse_warning.py

A toy tissue: each cell is a random texture, its cubes differ by noise. Each training is 160 steps with a look
every 10; the collapsing ones are known to collapse by their making: a loss that only pulls partners together
(nothing pushes others apart), or weights that decay to nothing.
Writes ``benchmarks/results/collapse_warning.json``: by kind of training how many were warned of, the step of
the first warning, and the least and last values that the rule looks at.
"""

from __future__ import annotations

import csv
import json
import os
import platform
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from processor import processor

from segclr.config import AugmentConfig, EncoderConfig, TrainConfig
from segclr.errors import TrainingError
from segclr.train import ArrayCubes, PairRows, TrainingData, train_encoder
from segclr.train.module import ContrastiveModule

SEEDS = range(4)
SETTLED = 5  # looks that the rule passes over: those of the first 50 steps
N_CELLS, CUBES_PER_CELL, N_TRAINING_CELLS, SIZE_VX, MARGIN_VX = 40, 6, 25, 11, 1
LIGHT = EncoderConfig(depth=10, width=0.125, stem="patch", heads="light")
PUBLISHED = EncoderConfig(depth=10, width=0.125, stem="patch", bottleneck_hidden=32)
CENTRED = EncoderConfig(depth=10, width=0.125, stem="medium", stages=3, heads="light", input="centred")
TRAIN = TrainConfig(
    steps=160,
    batch_pairs=16,
    learning_rate=4e-3,
    warmup_steps=10,
    validate_every=10,
    validation_pairs=64,
    checkpoint_every=1000,
    augment=AugmentConfig(shift_vx=MARGIN_VX, noise_sd=0.02),
)


def changed(**values: object) -> TrainConfig:
    return TRAIN.model_copy(update=values)


# (kind, collapses, encoder, training, only pulls partners together)
TRAININGS = [
    ("light heads", False, LIGHT, TRAIN, False),
    ("published heads", False, PUBLISHED, TRAIN, False),
    ("centred input", False, CENTRED, TRAIN, False),
    ("8 dimensions", False, LIGHT.model_copy(update={"embedding_dim": 8}), TRAIN, False),
    ("small learning rate", False, LIGHT, changed(learning_rate=1e-4), False),
    ("temperature 0.5", False, LIGHT, changed(temperature=0.5), False),
    ("SGD", False, LIGHT, changed(optimizer="sgd", learning_rate=0.05), False),
    ("LARS", False, PUBLISHED, changed(optimizer="lars", learning_rate=0.3), False),
    ("pull only, light heads", True, LIGHT, changed(learning_rate=2e-2), True),
    ("pull only, published heads", True, PUBLISHED, changed(learning_rate=2e-2), True),
    ("weights decay to nothing", True, LIGHT, changed(weight_decay=100.0, learning_rate=1e-2), False),
    ("learning rate 3, does not learn", False, LIGHT, changed(learning_rate=3.0), False),
]


def tissue(seed: int) -> TrainingData:
    random = np.random.default_rng(seed)
    edge = SIZE_VX + 2 * MARGIN_VX
    coarse = random.integers(20, 236, (N_CELLS, 4, 4, 4))
    index = np.arange(edge) * 4 // edge
    textures = coarse[:, index][:, :, index][:, :, :, index]
    cubes = np.repeat(textures, CUBES_PER_CELL, axis=0)
    cubes = np.clip(cubes + random.integers(-30, 31, cubes.shape), 1, 255).astype(np.uint8)
    first = np.repeat(np.arange(N_CELLS) * CUBES_PER_CELL, CUBES_PER_CELL - 1)
    second = first + np.tile(np.arange(1, CUBES_PER_CELL), N_CELLS)
    groups = first // CUBES_PER_CELL
    train = groups < N_TRAINING_CELLS
    return TrainingData(
        cubes=ArrayCubes(cubes),
        training=PairRows(first[train], second[train], groups[train]),
        held_out=PairRows(first[~train], second[~train], groups[~train]),
        voxel_size_nm=(8.0, 8.0, 8.0),
        size_vx=SIZE_VX,
    )


def pull_only(self: ContrastiveModule, batch: object, batch_idx: int) -> torch.Tensor:
    first, second = self.network(self.views(batch)).float().chunk(2)
    return (1 - F.cosine_similarity(first, second)).mean()


def history(seed: int, encoder: EncoderConfig, train: TrainConfig) -> list[dict[str, str]]:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            train_encoder(tissue(seed), encoder=encoder, train=train, folder=folder, seed=seed)
        except TrainingError as error:
            print(f"  stopped: {error}", file=sys.stderr)
        with (Path(folder) / "history.csv").open() as file:
            return list(csv.DictReader(file))


def main() -> None:
    torch.set_num_threads(1)
    ordinary = ContrastiveModule.training_step
    results = []
    for kind, collapses, encoder, train, pull in TRAININGS:
        ContrastiveModule.training_step = pull_only if pull else ordinary
        steps, least_rank, least_spread, last_top1 = [], [], [], []
        for seed in SEEDS:
            rows = history(seed, encoder, train)
            spreads = [1 - float(row["cosine_negative"]) for row in rows]
            steps.append(next((int(row["step"]) for row in rows if row["collapse"]), None))
            least_rank.append(min(float(row["effective_rank"]) for row in rows[SETTLED:]))
            least_spread.append(min(spreads[SETTLED:]) / spreads[0])
            last_top1.append(float(rows[-1]["top1"]) / float(rows[-1]["chance_top1"]))
        result = {
            "training": kind,
            "collapses": collapses,
            "n": len(SEEDS),
            "warned": sum(step is not None for step in steps),
            "step_of_first_warning": steps,
            "least_effective_rank": round(min(least_rank), 2),
            "least_spread_over_untrained": round(min(least_spread), 4),
            "last_top1_over_chance": [round(value, 1) for value in last_top1],
        }
        results.append(result)
        print(json.dumps(result))
    machine = f"{processor()}, {os.cpu_count()} shared cores, CPU only, Python {platform.python_version()}"
    out = Path(__file__).parent / "results/collapse_warning.json"
    out.write_text(json.dumps({"machine": machine, "trainings": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
