"""Made tissue, measured: speed, fill, and how far ten simple features get.

    .venv/bin/python benchmarks/tissue.py [--seeds 0 1 2] [--out benchmarks/results/tissue.json]

Prints a Markdown table and writes the same figures as JSON. Speed is by processor time of one thread, so
that other work on the machine does not count. The forest is trained on nodes of train cells and judged on
nodes of test cells, macro F1.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from processor import processor
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import f1_score

from segclr.config import TissueConfig
from segclr.data.cube_features import FEATURE_NAMES, cube_features
from segclr.data.neuropil import COMPARTMENTS, make_block

SIZE_VX = 33
SPACING_NM = 1500.0


def nodes_of(skeleton, spacing_nm=SPACING_NM):
    """Vertices about one spacing apart along every branch: a vertex is a node where the path from the
    last node above it reaches the spacing."""
    since = np.zeros(len(skeleton))
    nodes = []
    for v, parent in enumerate(skeleton.parents):
        if parent >= 0:
            since[v] = since[parent] + np.linalg.norm(skeleton.points_nm[v] - skeleton.points_nm[parent])
        if parent < 0 or since[v] >= spacing_nm:
            nodes.append(v)
            since[v] = 0.0
    return skeleton.points_nm[nodes]


def cubes_of(block):
    """Masked cubes at all nodes of a block, with what is known of each."""
    size = np.array(block.voxel_size_nm)
    half = SIZE_VX // 2
    em = np.pad(block.em, half)
    seg = np.pad(block.segmentation, half)
    cells = block.cells.set_index("segment_id")
    cubes, rows = [], []
    for skeleton in block.skeletons:
        points = nodes_of(skeleton)
        voxels = np.floor(points / size).astype(int) - np.array(block.box.start)
        cell = cells.loc[np.uint64(skeleton.segment_id)]
        for (x, y, z), point in zip(voxels, points, strict=True):
            at = (slice(z, z + SIZE_VX), slice(y, y + SIZE_VX), slice(x, x + SIZE_VX))
            cubes.append(np.where(seg[at] == np.uint64(skeleton.segment_id), em[at], 0).astype(np.uint8))
            rows.append(
                (skeleton.segment_id, int(block.compartments[z, y, x]), cell.cell_type, cell.split, *point)
            )
    return np.stack(cubes), rows


def forest_f1(features, labels, train):
    forest = RandomForestClassifier(200, class_weight="balanced", random_state=0, n_jobs=1)
    forest.fit(features[train], labels[train])
    guess = forest.predict(features[~train])
    return float(f1_score(labels[~train], guess, average="macro")), forest


def measure(config, seed):
    seconds, fill, rows, cubes, voxels = 0.0, [], [], [], 0
    features_s = 0.0
    for index in range(config.n_blocks):
        start = time.process_time()
        block = make_block(config, seed=seed, block=index)
        seconds += time.process_time() - start
        voxels += block.em.size
        fill.append(float((block.segmentation > 0).mean()))
        some, known = cubes_of(block)
        start = time.process_time()
        cubes.append(cube_features(some))
        features_s += time.process_time() - start
        rows += known
    features = np.concatenate(cubes)
    compartment = np.array([r[1] for r in rows])
    cell_type = np.array([r[2] for r in rows])
    train = np.array([r[3] == "train" for r in rows])
    columns = {
        "": slice(None),
        "_grey_mean_only": [FEATURE_NAMES.index("grey_mean")],
        "_size_only": [FEATURE_NAMES.index("occupancy")],
    }
    names = {v: k for k, v in COMPARTMENTS.items()}
    result = {
        "seed": seed,
        "mvoxel_per_min_core": voxels / 1e6 / seconds * 60,
        "fill": float(np.mean(fill)),
        "nodes": len(rows),
        "nodes_by_compartment": {names[k]: int((compartment == k).sum()) for k in np.unique(compartment)},
        "features_ms_per_cube": features_s / len(rows) * 1000,
    }
    for task, labels in (("compartment", compartment), ("cell_type", cell_type)):
        for suffix, column in columns.items():
            result[f"{task}_f1{suffix}"], forest = forest_f1(features[:, column], labels, train)
            if not suffix:
                result[f"{task}_f1_by_class"] = {
                    str(c): float(f)
                    for c, f in zip(
                        np.unique(labels[~train]),
                        f1_score(labels[~train], forest.predict(features[~train]), average=None),
                        strict=True,
                    )
                }
    return result


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/tissue.json"))
    arguments = parser.parse_args()
    config = TissueConfig()
    results = [measure(config, seed) for seed in arguments.seeds]
    keys = [k for k, v in results[0].items() if isinstance(v, float)] + ["nodes"]
    print("| figure | " + " | ".join(f"seed {r['seed']}" for r in results) + " | mean |")
    print("|---" * (len(results) + 2) + "|")
    for key in keys:
        values = [r[key] for r in results]
        print(f"| {key} | " + " | ".join(f"{v:.3f}" for v in values) + f" | {np.mean(values):.3f} |")
    for result in results:
        print(result["seed"], {k: v for k, v in result.items() if isinstance(v, dict)})
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "config": config.model_dump(),
        "cube_vx": SIZE_VX,
        "spacing_nm": SPACING_NM,
        "machine": processor(),
        "seeds": results,
    }
    arguments.out.write_text(json.dumps(report, indent=1, default=str) + "\n")


if __name__ == "__main__":
    main()
