"""Settings of configs/benchmark.yaml tried on two tissues that it is not judged on, one thing at a time.

    .venv/bin/python benchmarks/methods_settings.py [--only base "16 blocks" ...]    # ten minutes each

One training each on one core, judged on blocks of seeds 1 and 2: by linear classifiers, and by how well types
that were left out are found, with the variance of `segclr classify fit --kind resnet` and with the tenth
nearest neighbour. What stands in the result file is not done again.
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np
from processor import processor
from sklearn.neighbors import NearestNeighbors

from pipelines.aggregate import read_aggregated
from pipelines.classifiers import new_classifier
from pipelines.classify import labels_of
from pipelines.run import TRAINED
from pipelines.workflow import run_one
from segclr.classify import LinearClassifier, detection, draw_labelled, evaluate, join_labels
from segclr.config import load_config

TOP = Path(__file__).resolve().parents[1]
RESULT = Path(__file__).parent / "results" / "methods_settings.json"
TEST_SEEDS, TEST_BLOCKS, RADIUS_UM, REPEATS, EVERY = (1, 2), 3, 10.0, 3, 4

BASE = [
    "benchmark=null",
    "cluster.workers=1",
    "train.threads=1",
    "train.steps=1200",
    "evaluate.untrained_baseline=false",
    "tissue.n_blocks=8",
    "pairs.n_pairs=24000",
    "pairs.split=labels",
    "pairs.held_out=0.1",
]
SETTINGS = {
    "base": [],
    "pairs up to 2.5 um": ["pairs.max_distance_nm=2500"],
    "2400 steps": ["train.steps=2400", "pairs.n_pairs=48000"],
    "16 blocks": ["tissue.n_blocks=16", "pairs.n_pairs=48000"],
    "16 blocks, nine in ten cells": ["tissue.n_blocks=16", "pairs.n_pairs=48000", "pairs.split=drawn"],
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument(
        "--runs", type=Path, default=TOP / "runs" / "methods-settings", help="folder of the runs"
    )
    options = parser.parse_args()
    for name in options.only:
        if name in done():
            continue
        found = {"changes": SETTINGS[name], **scores(options.runs / name.replace(" ", "-"), name)}
        machine = f"{processor()}, {os.cpu_count()} shared cores, CPU only; one core a setting"
        RESULT.write_text(
            json.dumps({"machine": machine, "settings": {**done(), name: found}}, indent=1) + "\n"
        )
        print(name, json.dumps(found), flush=True)


def done():
    """What the result file holds by now."""
    return json.loads(RESULT.read_text())["settings"] if RESULT.exists() else {}


def scores(folder, name):
    training = made(folder / "training", *SETTINGS[name])
    given = f"embed.encoder={training.path('encoder')}"
    tests = [
        made(folder / f"test-{s}", *SETTINGS[name], f"seed={s}", f"tissue.n_blocks={TEST_BLOCKS}", given)
        for s in TEST_SEEDS
    ]
    own, others = labelled(training, "compartment", 0.0), [labelled(t, "compartment", 0.0) for t in tests]
    answer = {"compartments, node alone, 1,000 labels, macro F1": []}
    for repeat in range(REPEATS):
        rows = draw_labelled(own[1], n=1000, seed=repeat)
        answer["compartments, node alone, 1,000 labels, macro F1"].append(
            macro_f1([a[rows] for a in own], others)
        )
    answer["compartments, node alone, 1,000 labels, macro F1"] = mean(*answer.values())
    for radius_um in (0.0, RADIUS_UM):
        own, others = (
            labelled(training, "cell_type", radius_um),
            [labelled(t, "cell_type", radius_um) for t in tests],
        )
        answer[f"cell types, {radius_um:g} um, macro F1"] = mean(macro_f1(own, others))
    variance, neighbour = zip(*(unknown(training, own, others, c) for c in np.unique(own[1])), strict=True)
    answer["unknown, variance, AUROC"] = mean(*variance)
    answer["unknown, tenth neighbour, AUROC"] = mean(*neighbour)
    return answer


def made(folder, *changes):
    """A run up to its aggregates; what is there is not made again."""
    config = load_config(str(TOP / "configs/benchmark.yaml"), [*BASE, f"run={folder}", *changes])
    cut = ("cubes",) if config.trains else ()
    for command in ("tissue", "nodes", "pairs", *cut, "train", "embed", "aggregate"):
        run = run_one(config, command)
    return run


def labelled(run, task, radius_um):
    """Vectors, classes and segments of labelled nodes."""
    table = read_aggregated(run, TRAINED, metric="euclidean", radius_um=radius_um)
    joined = join_labels(table, labels_of(run, task, table))
    return table.embeddings[joined.rows], joined.classes, table.segment_ids[joined.rows]


def macro_f1(own, others):
    model = LinearClassifier(C=1.0).fit(own[0], own[1])
    return [evaluate(y, model.predict(X), groups=cells, seed=0).macro_f1 for X, y, cells in others]


def unknown(run, own, others, left_out):
    """AUROC of finding a type left out, by a residual network's variance and by a neighbour's direction."""
    X, y, cells = (a[own[1] != left_out][::EVERY] for a in own)
    model = new_classifier(run, "resnet").fit(X, y, cells)
    unit = lambda V: V / np.linalg.norm(V, axis=1, keepdims=True)  # noqa: E731
    near = NearestNeighbors(n_neighbors=10).fit(unit(X))
    measures = (model.uncertainty, lambda V: near.kneighbors(unit(V))[0][:, -1])
    return [mean([detection(m(V), c == left_out).auroc for V, c, _ in others]) for m in measures]


def mean(*values):
    return round(float(np.mean(values)), 4)


if __name__ == "__main__":
    main()
