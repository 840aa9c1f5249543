"""Exact search of 100,000 nodes by 64 numbers: queries a second against two other exact searches, in one run.

    python benchmarks/search.py [--nodes 100000] [--queries 512] [--out figures.json]

Baselines, on the same vectors and with as many threads: what one would write first,

    similarity = Q @ X.T                                    # float32, both at length 1, 256 queries at a time
    top = np.argpartition(-similarity, k - 1, axis=1)[:, :k]    # then sorted

and scikit-learn's NearestNeighbors(algorithm="brute"). Neither ranks exactly: both go by float32. The three
take turns, and the fastest of five turns counts for each. Queries are nodes of the table, as in practice;
embeddings are drawn around 200 centres, so that near neighbours are near.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from processor import processor
from sklearn.neighbors import NearestNeighbors

from segclr.explore import SearchIndex
from segclr.store.embeddings import EmbeddingTable

K, DIM, TURNS, AT_ONCE = 10, 64, 5, 256


def made_table(n):
    random = np.random.default_rng(0)
    centres = 3 * random.normal(size=(200, DIM))
    return EmbeddingTable(
        segment_ids=random.integers(2**53, 2**64, n, dtype=np.uint64),
        node_ids=np.arange(n),
        points_nm=random.uniform(0, 1e5, (n, 3)),
        parents=None,
        embeddings=centres[random.integers(0, 200, n)] + random.normal(size=(n, DIM)),
    )


def at_length_1(values):
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def plain(rows, queries, metric):
    """The baseline: rows of the k nearest, [m, k]."""
    found, squares = [], np.square(rows).sum(axis=1)
    for begin in range(0, len(queries), AT_ONCE):
        score = queries[begin : begin + AT_ONCE] @ rows.T
        if metric == "euclidean":
            score = 2 * score - squares
        top = np.argpartition(-score, K - 1, axis=1)[:, :K]
        order = np.argsort(-np.take_along_axis(score, top, axis=1), axis=1)
        found.append(np.take_along_axis(top, order, axis=1))
    return np.concatenate(found)


def one_metric(table, asked, metric):
    begin = time.perf_counter()
    index = SearchIndex.build(table, metric=metric)
    queries = table.embeddings[asked]
    index.query(queries[:1], K)
    build_s = time.perf_counter() - begin
    rows = at_length_1(table.embeddings) if metric == "cosine" else table.embeddings
    scaled = at_length_1(queries) if metric == "cosine" else queries
    brute = NearestNeighbors(n_neighbors=K, algorithm="brute", metric=metric).fit(table.embeddings)
    ways = {
        "segclr": lambda: index.query(queries, K).rows,
        "numpy": lambda: plain(rows, scaled, metric),
        "scikit_learn": lambda: brute.kneighbors(queries, return_distance=False),
        "segclr_filtered": lambda: index.query_rows(asked, K, other_segments=True, min_distance_nm=2000).rows,
        "segclr_one_at_a_time": lambda: [index.query(q, K) for q in queries[:32]],
    }
    seconds, answers = {name: [] for name in ways}, {}
    for _ in range(TURNS):
        for name, way in ways.items():
            begin = time.perf_counter()
            answers[name] = way()
            seconds[name].append(time.perf_counter() - begin)
    rate = {name: (32 if name.endswith("time") else len(asked)) / min(s) for name, s in seconds.items()}
    same = (np.sort(answers["segclr"], axis=1) == np.sort(answers["numpy"], axis=1)).all(axis=1).mean()
    return {
        "build_seconds": round(build_s, 2),
        "queries_per_second": {name: round(value, 1) for name, value in rate.items()},
        "ratio_to_numpy": round(rate["segclr"] / rate["numpy"], 2),
        "ratio_to_scikit_learn": round(rate["segclr"] / rate["scikit_learn"], 2),
        "share_with_the_same_hits_as_numpy_in_float32": round(float(same), 4),
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=512)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "search.json")
    arguments = parser.parse_args()
    table = made_table(arguments.nodes)
    asked = np.random.default_rng(1).choice(arguments.nodes, arguments.queries, replace=False)
    result = {
        "machine": f"{processor()}, {os.cpu_count()} shared cores, Python {platform.python_version()}",
        "load_1_minute": round(os.getloadavg()[0], 1),
        "threads": 1,
        "baselines": "NumPy float32 matrix product and argpartition; NearestNeighbors(algorithm='brute')",
        "nodes": arguments.nodes,
        "dimensions": DIM,
        "k": K,
        "queries": arguments.queries,
    }
    for metric in ("cosine", "euclidean"):
        result[metric] = one_metric(table, asked, metric)
        print(metric, result[metric], flush=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
