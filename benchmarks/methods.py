"""Methods compared on made tissue: `segclr run configs/benchmark.yaml`, and its scores kept as a small file.

    .venv/bin/python benchmarks/methods.py [RUN]    # RUN: a benchmark that is done; else 70 minutes

A score is the mean over the test tissues, with the lowest and the highest of them.
"""

import json
import os
import sys
from pathlib import Path

from processor import processor

from pipelines.benchmark_rows import labels_to_reach, read_rows, score_lines
from pipelines.inspect import saved_run
from pipelines.workflow import run_all
from segclr.config import load_config

RESULT = Path(__file__).parent / "results" / "methods.json"


def main():
    top = saved_run(sys.argv[1]) if sys.argv[1:] else run_all(load_config("configs/benchmark.yaml", []))
    needed, n_supervised = labels_to_reach(read_rows(top, "compartments"))
    scores = [
        {
            "question": line.question,
            "setting": line.setting,
            "method": line.method,
            "mean": round(float(line.of_tissues.mean()), 4),
            "lowest": round(float(line.of_tissues.min()), 4),
            "highest": round(float(line.of_tissues.max()), 4),
        }
        for line in score_lines(top)
    ]
    left_out = read_rows(top, "unknown").groupby(["left_out", "method"])["auroc"].mean()
    result = {
        "machine": f"{processor()}, {os.cpu_count()} shared cores, CPU only",
        "test_seeds": list(top.config.benchmark.test_seeds),
        "labels_that_reach_the_supervised_network": needed,
        "labels_of_the_supervised_network": n_supervised,
        "scores": scores,
        "unknown_auroc_by_type": [
            {"left out": name, "method": method, "AUROC": round(float(value), 4)}
            for (name, method), value in left_out.items()
        ],
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(RESULT.read_text())


if __name__ == "__main__":
    main()
