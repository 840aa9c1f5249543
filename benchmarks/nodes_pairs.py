"""Nodes and pairs, measured against the plain single-process loop, in one run on one core.

    python benchmarks/nodes_pairs.py [--skeletons vertices.parquet] [--out figures.json]

Nodes: ``smooth`` is left out on both sides; the baseline walks every skeleton vertex by vertex in Python,
as one would write it first, and places the same nodes (checked). Pairs: the baseline runs networkx's Dijkstra
from each anchor up to the longest distance, and draws from what it finds, from the same distribution; it is
timed on as many pairs as it makes in 15 s, its graphs ready. Skeletons are random trees of the size of real
ones, or a table of vertices of real ones. Times are processor time. Each giant tree is measured in a process
of its own, for its peak memory (before the baseline's).
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import resource
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import networkx as nx
import numpy as np
from fresh_process import in_process
from processor import processor

from segclr.config import PairConfig
from segclr.data.node_facts import cable_table
from segclr.data.nodes import NodeTable, resample
from segclr.data.pairs import allot_pairs, draw_pairs
from segclr.data.skeleton import Skeleton, topological_order
from segclr.data.smooth import smooth
from segclr.store.parquet import read_columns

SPACING_NM = 1500.0
BASELINE_S = 15.0


def random_skeleton(random, n, segment_id, *, step_nm, branching):
    """A tree that mostly goes on from its last vertex, and in one of ``branching`` cases from any."""
    anywhere = random.random(n) < 1 / branching
    parents = np.where(anywhere, (random.random(n) * np.arange(n)).astype(np.int64), np.arange(-1, n - 1))
    parents[0] = -1
    way = random.normal(size=(n, 3))
    way *= step_nm / np.linalg.norm(way, axis=1, keepdims=True)
    points = np.zeros((n, 3))
    for i, parent in enumerate(parents.tolist()):
        if parent >= 0:
            points[i] = points[parent] + way[i]
    return Skeleton(segment_id, points.astype(np.float32), parents.astype(np.int32), np.ones(n, np.float32))


def loop_resample(skeleton, spacing):
    """The same nodes, vertex by vertex; answers their places as a set."""
    points, parents = skeleton.points_nm.astype(float), skeleton.parents
    children = [[] for _ in parents]
    for i, parent in enumerate(parents):
        if parent >= 0:
            children[parent].append(i)
    places, todo = [], []
    for root in np.flatnonzero(parents < 0):
        places.append(points[root])
        todo.append((int(root), 0.0))
    while todo:
        top, carried = todo.pop()
        for child in children[top]:
            chain = [top, child]
            while len(children[chain[-1]]) == 1:
                chain.append(children[chain[-1]][0])
            along = [0.0]
            for a, b in itertools.pairwise(chain):
                along.append(along[-1] + float(np.linalg.norm(points[b] - points[a])))
            is_tip = not children[chain[-1]]
            count = int((carried + along[-1]) / spacing + (0.5 if is_tip else 1e-9))
            edge = 1
            for k in range(1, count if is_tip else count + 1):
                at = k * spacing - carried
                while along[edge] < at and edge < len(along) - 1:
                    edge += 1
                share = (at - along[edge - 1]) / (along[edge] - along[edge - 1])
                start, stop = points[chain[edge - 1]], points[chain[edge]]
                places.append(start + share * (stop - start))
            if is_tip and count:
                places.append(points[chain[-1]])
            todo.append((chain[-1], carried + along[-1] - count * spacing))
    return np.array(places)


def measure_nodes(skeletons):
    begin = time.process_time()
    tables = [resample(s, spacing_nm=SPACING_NM) for s in skeletons]
    ours = time.process_time() - begin
    begin = time.process_time()
    baseline = [loop_resample(s, SPACING_NM) for s in skeletons]
    loop = time.process_time() - begin
    for table, places in zip(tables, baseline, strict=True):
        a, b = (np.round(p[np.lexsort(np.round(p, 0).T)]) for p in (table.points_nm, places))
        assert len(a) == len(b)
        assert np.abs(np.sort(a, axis=0) - np.sort(b, axis=0)).max() <= 1
    begin = time.process_time()
    for skeleton in skeletons:
        smooth(skeleton, window_nm=500)
    smoothing = time.process_time() - begin
    return NodeTable.concatenate(tables), {
        "segments": len(skeletons),
        "vertices": sum(map(len, skeletons)),
        "nodes": sum(map(len, tables)),
        "nodes_a_s": round(sum(map(len, tables)) / ours),
        "smoothing_s_over_resampling_s": round(smoothing / ours, 2),
        "ratio_to_loop": round(loop / ours, 1),
    }


def loop_pairs(nodes, config, n_pairs):
    """Pairs a second of networkx, one pair after another, over the segments in turn."""
    random = np.random.default_rng(0)
    edges, graphs = np.array(config.edges_nm), []
    for (_, rows), n in zip(nodes.segments(), n_pairs, strict=True):
        if n:
            graph, points = nx.Graph(), nodes.points_nm[rows].astype(float)
            graph.add_nodes_from(range(len(points)))
            for i, parent in enumerate(nodes.parents[rows].tolist()):
                if parent >= 0:
                    graph.add_edge(i, parent, weight=float(np.linalg.norm(points[i] - points[parent])))
            graphs.append((graph, len(points), int(n)))
    begin, drawn = time.process_time(), 0
    for graph, size, n in graphs:
        for _ in range(n):
            if time.process_time() - begin > BASELINE_S:
                return drawn / (time.process_time() - begin)
            anchor = int(random.integers(size))
            found = nx.single_source_dijkstra_path_length(graph, anchor, cutoff=edges[-1])
            gaps = np.array([g for b, g in found.items() if b != anchor and g >= edges[0]])
            if not len(gaps):
                continue
            bins = np.minimum(np.searchsorted(edges, gaps, "right") - 1, len(edges) - 2)
            random.choice(np.flatnonzero(bins == random.choice(np.unique(bins))))
            drawn += 1
    return drawn / (time.process_time() - begin)


def measure_pairs(nodes, config):
    n_pairs = allot_pairs(cable_table(nodes)["cable_nm"], config)
    begin = time.process_time()
    held_out = np.zeros(len(n_pairs), bool)
    pairs = draw_pairs(nodes, config, n_pairs=n_pairs, held_out=held_out, seed=0)
    ours = time.process_time() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
    rate = loop_pairs(nodes, config, n_pairs)
    return {
        "segments": len(n_pairs),
        "nodes": len(nodes),
        "pairs": len(pairs),
        "pairs_a_s": round(len(pairs) / ours),
        "ratio_to_networkx_loop": round(len(pairs) / ours / rate, 1),
        "seconds": round(ours, 1),
        "process_peak_gb": round(peak / 1e9, 2),
    }


def giant(n, max_distance_nm, queue):
    """Ten thousand pairs in one segment of n nodes, in a process of its own."""
    tree = random_skeleton(np.random.default_rng(0), n, 2**64 - 1, step_nm=SPACING_NM, branching=20)
    order = topological_order(tree.parents)
    rank = np.empty(n, np.int64)
    rank[order] = np.arange(n)
    parents = np.where(tree.parents[order] >= 0, rank[tree.parents[order]], -1)
    nodes = NodeTable(
        segment_ids=np.full(n, 2**64 - 1, np.uint64),
        node_ids=np.arange(n, dtype=np.uint32),
        points_nm=tree.points_nm[order],
        radii_nm=tree.radii_nm,
        parents=parents.astype(np.int32),
    )
    queue.put(measure_pairs(nodes, PairConfig(n_pairs=10_000, max_distance_nm=max_distance_nm)))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--skeletons", help="a table of vertices, such as <run>/skeletons/volume.parquet")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "nodes_pairs.json")
    arguments = parser.parse_args()
    random = np.random.default_rng(0)
    made = [
        random_skeleton(random, int(n), i + 1, step_nm=50, branching=60)
        for i, n in enumerate(np.clip(random.lognormal(5.5, 1.2, 1000), 2, 30_000))
    ]
    result = {
        "machine": f"{processor()}, 1 shared core, Python {platform.python_version()}",
        "baselines": "nodes: a Python loop over vertices; pairs: networkx Dijkstra from each anchor",
    }
    nodes, result["nodes_random"] = measure_nodes(made)
    result["pairs_random"] = measure_pairs(nodes, PairConfig())
    if arguments.skeletons:
        vertices = NodeTable.from_columns(read_columns(arguments.skeletons))
        real = [
            Skeleton(i, vertices.points_nm[r], vertices.parents[r], vertices.radii_nm[r])
            for i, r in vertices.segments()
        ]
        nodes, result["nodes_real"] = measure_nodes(real)
        result["pairs_real"] = measure_pairs(nodes, PairConfig())
    result["pairs_giant"] = in_process(giant, 1_000_000, 150_000)
    result["pairs_giant_any_distance"] = in_process(giant, 1_000_000, 1e9)
    print(json.dumps(result, indent=1))
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
