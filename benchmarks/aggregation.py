"""Aggregation of one large segment, measured against the plain loop over nodes, in the same run.

    python benchmarks/aggregation.py [--nodes 1000000] [--out figures.json]

The segment is a made arbor: a walk that keeps its direction for some micrometres and branches, nodes 1.25 um
apart. The loop is what one would write first:

    tree = cKDTree(points)
    for i in range(n): mean[i] = embeddings[tree.query_ball_point(points[i], radius)].mean(0)

It takes minutes, so the loop runs over a random sample of nodes, in two pieces between our runs, and the
faster piece is extrapolated to all nodes; the tree's building is added as measured. Answers are compared with
the loop's and with sums in float64. Ours is the whole call on a table, the faster of two runs, with one
thread and with two (the loop cannot use a second). Times are wall clock. Each setting runs in a process of
its own, for its peak memory, and first aggregates 1,000 nodes, so that no time holds the compiler's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from fresh_process import in_process
from processor import processor
from scipy.spatial import cKDTree

from segclr.aggregate import AttentionPooling, aggregate
from segclr.store.embeddings import EmbeddingTable

SPACING_NM = 1250.0
SAMPLE = 4000


def arbor(n, *, seed, branching=300, turn=0.25):
    """Points and parents: a node goes on from the last, in one of ``branching`` cases from any before."""
    random = np.random.default_rng(seed)
    anywhere = random.random(n) < 1 / branching
    parents = np.where(anywhere, (random.random(n) * np.arange(n)).astype(np.int64), np.arange(-1, n - 1))
    parents[0] = -1
    way = random.normal(size=(n, 3))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    points, along = np.zeros((n, 3)), np.zeros((n, 3))
    along[0] = way[0]
    for i, parent in enumerate(parents[1:].tolist(), 1):
        step = along[parent] * (1 - turn) + way[i] * turn
        along[i] = step / np.sqrt(step @ step)
        points[i] = points[parent] + SPACING_NM * along[i]
    return points, parents


def table_of(points, parents, *, shuffled_ids):
    n = len(points)
    ids = np.random.default_rng(5).permutation(n) if shuffled_ids else np.arange(n)
    return EmbeddingTable(
        segment_ids=np.full(n, 2**64 - 1, np.uint64),
        node_ids=ids,
        points_nm=points,
        parents=np.where(parents >= 0, ids[parents], -1),
        embeddings=np.random.default_rng(1).standard_normal((n, 64), dtype=np.float32),
    )


def peak_gb():
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2)  # Linux counts in KiB


def timed(work):
    begin = time.perf_counter()
    answer = work()
    return time.perf_counter() - begin, answer


def loop(table, tree, rows, radius_nm):
    """Seconds a node, and the means."""
    points, embeddings = table.points_nm.astype(float), table.embeddings
    means = np.empty((len(rows), embeddings.shape[1]), np.float32)
    begin = time.perf_counter()
    for k, i in enumerate(rows):
        means[k] = embeddings[tree.query_ball_point(points[i], radius_nm)].mean(0)
    return (time.perf_counter() - begin) / len(rows), means


def against_loop(points, parents, radius_um, queue):
    table = table_of(points, parents, shuffled_ids=False)
    small = table_of(points[:1000], parents[:1000], shuffled_ids=False)
    first_s, _ = timed(lambda: aggregate(small, radius_um=radius_um))
    before = peak_gb()
    runs = {threads: [] for threads in (1, 2)}
    build, tree = timed(lambda: cKDTree(table.points_nm.astype(float)))
    pieces = np.random.default_rng(2).permutation(len(table))[:SAMPLE].reshape(2, -1)
    loops = []
    for rows in pieces:
        loops.append(loop(table, tree, rows, radius_um * 1000))
        for threads, seconds in runs.items():
            took, got = timed(lambda threads=threads: aggregate(table, radius_um=radius_um, threads=threads))
            seconds.append(took)
    peak, worst, exact = peak_gb(), 0.0, 0.0
    for rows, (_, means) in zip(pieces, loops, strict=True):
        worst = max(worst, float(np.abs(got.embeddings[rows] - means).max()))
        for i in rows[:500]:
            near = tree.query_ball_point(table.points_nm[i].astype(float), radius_um * 1000)
            assert len(near) == got.n_nodes[i]
            want = table.embeddings[near].astype(float).mean(0)
            exact = max(exact, float(np.abs(got.embeddings[i] - want).max()))
    assert exact < 1e-7
    loop_s = build + min(a for a, _ in loops) * len(table)
    queue.put(
        {
            "neighbours_mean": round(float(got.n_nodes.mean()), 1),
            "seconds_first_call_1000_nodes": round(first_s, 2),
            "seconds_1_thread": round(min(runs[1]), 2),
            "seconds_2_threads": round(min(runs[2]), 2),
            "loop_seconds_extrapolated": round(loop_s, 1),
            "loop_sampled_nodes": SAMPLE,
            "ratio_to_loop_1_thread": round(loop_s / min(runs[1]), 1),
            "ratio_to_loop_2_threads": round(loop_s / min(runs[2]), 1),
            "greatest_difference_from_loop_in_float32": worst,
            "greatest_difference_from_float64": exact,
            "process_peak_gb": peak,
            "process_peak_gb_before": before,
        }
    )


def option(points, parents, name, radius_um, queue):
    table = table_of(points, parents, shuffled_ids=name == "ids in no order")
    random = np.random.default_rng(3)
    pooling = AttentionPooling(
        hidden=random.standard_normal((16, 64)) / 8, bias=np.zeros(16), out=random.uniform(-0.3, 0.3, 16)
    )
    settings = {
        "path": {"metric": "path"},
        "gaussian": {"weighting": "gaussian"},
        "spread": {"spread": True},
        "attention": {"weighting": pooling},
        "ids in no order": {},
    }[name]
    small = table_of(points[:1000], parents[:1000], shuffled_ids=False)
    aggregate(small, radius_um=radius_um, **settings)
    seconds, got = timed(lambda: aggregate(table, radius_um=radius_um, **settings))
    neighbours = round(float(got.n_nodes.mean()), 1)
    queue.put({"seconds": round(seconds, 1), "neighbours_mean": neighbours, "process_peak_gb": peak_gb()})


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "aggregation.json")
    arguments = parser.parse_args()
    points, parents = arbor(arguments.nodes, seed=0)
    result = {
        "machine": f"{processor()}, {os.cpu_count()} shared cores, Python {platform.python_version()}",
        "baseline": "cKDTree.query_ball_point and mean(0) node by node, extrapolated from a sample",
        "nodes": arguments.nodes,
        "dimensions": 64,
        "spacing_nm": SPACING_NM,
    }
    for radius_um in (10, 25):
        key = f"euclidean_{radius_um}um"
        result[key] = in_process(against_loop, points, parents, radius_um)
        print(key, result[key], flush=True)
    for name in ("path", "spread", "attention", "gaussian", "ids in no order"):
        for radius_um in (10, 25):
            key = f"{name.replace(' ', '_')}_{radius_um}um"
            result[key] = in_process(option, points, parents, name, radius_um)
            print(key, result[key], flush=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
