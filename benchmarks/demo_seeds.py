"""The demo over several seeds: tissue, training and splits all differ. Mean and spread of every score.

python benchmarks/demo_seeds.py --seeds 1 2 3        # runs what is missing in runs/demo-seed-N
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from processor import processor

SEGCLR = str(Path(sys.executable).parent / "segclr")
RESULT = Path(__file__).parent / "results" / "demo_seeds.json"


def scores(run: Path) -> dict[str, float]:
    found = {}
    for task in ("compartment", "cell_type"):
        for row in json.loads((run / "evaluation" / f"{task}.json").read_text()):
            where = f"{row['radius_um']:g} um {row['metric']}" if row["radius_um"] else "node alone"
            found[f"{task}, {row['encoder']}, {where}"] = row["macro_f1"]
    for row in json.loads((run / "evaluation" / "retrieval.json").read_text()):
        found[f"retrieval, {row['encoder']}"] = row["share"]
        found["retrieval, chance"] = row["chance"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    arguments = parser.parse_args()
    runs, seconds = [], []
    for seed in arguments.seeds:
        folder = Path("runs") / f"demo-seed-{seed}"
        begin = time.monotonic()
        subprocess.run([SEGCLR, "demo", "--out", str(folder), "--seed", str(seed)], check=True)
        seconds.append(round(time.monotonic() - begin))
        runs.append(scores(folder))
    table = {}
    for name in runs[0]:
        values = np.array([r[name] for r in runs])
        table[name] = {
            "mean": round(float(values.mean()), 3),
            "sd": round(float(values.std(ddof=1)) if len(values) > 1 else 0.0, 3),
            "each": [round(float(v), 3) for v in values],
        }
        print(f"{name:48s} {values.mean():.3f} +- {table[name]['sd']:.3f}")
    RESULT.parent.mkdir(exist_ok=True)
    machine = f"{processor()}, 2 shared cores, CPU only, Python {platform.python_version()}"
    result = {"machine": machine, "seeds": arguments.seeds, "seconds_each": seconds, "scores": table}
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
