"""Skeletons, nodes and pairs of a real segmentation: where nodes lie, how far apart, time and memory.

python benchmarks/pinky40.py            # about five minutes on two cores

Needs ../shared/data/pinky40. Runs `segclr skeletonize`, `nodes` and `pairs` on configs/pinky40.yaml in a new
folder, and judges the files it leaves, with the segmentation read through cloud-volume.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
from cloudvolume import CloudVolume
from processor import processor

from segclr.data.nodes import NodeTable
from segclr.data.skeleton import Skeleton, topological_order
from segclr.data.smooth import smooth
from segclr.store.parquet import read_folder

TOP = Path(__file__).resolve().parents[1]
DATA = TOP.parent / "shared" / "data" / "pinky40"
RESULT = Path(__file__).parent / "results" / "pinky40.json"
VOXEL_NM = np.array([32, 32, 40])
SPACING_NM = 1500
SMOOTH_NM = 500  # the default of nodes.smooth_nm


def timed(arguments):
    """Seconds, and the largest memory of one process and of all together, in GB."""
    begin, peak_one, peak_all = time.monotonic(), 0.0, 0.0
    process = subprocess.Popen([Path(sys.executable).parent / "segclr", *arguments], cwd=TOP)
    ended = threading.Event()
    while process.poll() is None:
        each = []
        for one in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
            try:
                each.append(one.memory_info().rss / 1e9)
            except psutil.NoSuchProcess:
                continue
        peak_one, peak_all = max([peak_one, *each]), max(peak_all, sum(each))
        ended.wait(0.2)
    if process.returncode:
        sys.exit(process.returncode)
    return {"seconds": time.monotonic() - begin, "peak_gb_of_one": peak_one, "peak_gb_of_all": peak_all}


def path_to_root_nm(run, nodes, points):
    """Path of each node to its tree's root along the smoothed skeleton, by looking for the edge it lies on.

    Independent of how nodes were placed; NaN where a node was moved off its skeleton.
    """
    vertices = NodeTable.from_columns(read_folder(str(run / "skeletons")))
    found = np.full(len(points), np.nan)
    for segment_id, rows in vertices.segments():
        raw = Skeleton(segment_id, vertices.points_nm[rows], vertices.parents[rows], vertices.radii_nm[rows])
        made = smooth(raw, window_nm=SMOOTH_NM)
        place, parent = made.points_nm.astype(np.float64), made.parents
        length = np.zeros(len(place))
        below = np.flatnonzero(parent >= 0)
        length[below] = np.linalg.norm(place[below] - place[parent[below]], axis=1)
        root = np.zeros(len(place))
        for vertex in topological_order(parent.astype(np.int64)):
            if parent[vertex] >= 0:
                root[vertex] = root[parent[vertex]] + length[vertex]
        above = np.where(parent >= 0, parent, np.arange(len(place)))
        along = place - place[above]
        for row in np.flatnonzero(nodes["segment_id"] == segment_id):
            away = points[row] - place[above]
            share = np.clip((away * along).sum(axis=1) / np.maximum(length, 1e-9) ** 2, 0, 1)
            off = np.linalg.norm(away - share[:, None] * along, axis=1)
            best = int(np.argmin(off))
            if off[best] < 0.5:
                found[row] = root[above[best]] + share[best] * length[best]
    return found


def judge(run):
    nodes = read_folder(str(run / "nodes"))
    points = np.stack([nodes[f"{a}_nm"] for a in "xyz"], axis=1).astype(np.float64)
    segmentation = CloudVolume(f"file://{DATA}", mip=VOXEL_NM.tolist(), progress=False)
    labels = np.asarray(segmentation[:, :, :])[..., 0]
    at = np.floor(points / VOXEL_NM).astype(int) - np.asarray(segmentation.voxel_offset)
    inside = labels[tuple(at.T)] == nodes["segment_id"]
    first = dict(
        zip(zip(nodes["segment_id"], nodes["node_id"], strict=True), range(len(points)), strict=True)
    )
    child = np.flatnonzero(nodes["parent"] >= 0)
    parent = [first[k] for k in zip(nodes["segment_id"][child], nodes["parent"][child], strict=True)]
    path = path_to_root_nm(run, nodes, points)
    steps = (path[child] - path[parent]) / SPACING_NM
    steps = steps[np.isfinite(steps)]
    straight = np.linalg.norm(points[child] - points[parent], axis=1)
    pairs = read_folder(str(run / "pairs-parts" / "drawn"))
    return {
        "nodes": len(points),
        "segments": len(np.unique(nodes["segment_id"])),
        "share_of_nodes_in_own_segment": float(inside.mean()),
        "median_straight_over_spacing": float(np.median(straight) / SPACING_NM),
        "median_path_over_spacing": float(np.median(steps)),
        "share_of_nodes_found_on_the_skeleton": float(np.isfinite(path).mean()),
        "pairs": len(pairs["segment_id"]),
    }


def main():
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        stages = {
            name: timed([name, "--config", "configs/pinky40.yaml", "--set", f"run={run}"])
            for name in ("skeletonize", "nodes", "pairs")
        }
        result = {"stages": stages, **judge(run)}
    result["machine"] = {
        "cores": os.cpu_count(),
        "processor": processor(),
        "load": os.getloadavg(),
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
