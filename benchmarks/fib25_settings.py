"""Settings tried on the real block: each changes one thing of a base; held-out retrieval judges.

python benchmarks/fib25_settings.py --seed 1 --steps 250       # screens all: more than an hour on two cores
python benchmarks/fib25_settings.py --seed 2 --steps 800 --only base "cube 49"

The base is configs/fib25.yaml with weak grey changes. Settings are compared on splits of seeds other than 0,
so that the result of configs/fib25.yaml (seed 0) is not the one they were chosen by. Skeletons, nodes and
pairs and cubes are made once a seed, where a setting leaves cubes alone. What stands in the result file is
not done again.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from processor import processor

SEGCLR = Path(sys.executable).parent / "segclr"
TOP = Path(__file__).resolve().parents[1]
RESULT = Path(__file__).parent / "results" / "fib25_settings.json"

PUBLISHED_GREY = [
    "train.augment.contrast=[0.75,1.25]",
    "train.augment.brightness=[-0.25,0.25]",
    "train.augment.log2_gamma=[-1,1]",
]
BASE = [
    "train.augment.contrast=[0.9,1.1]",
    "train.augment.brightness=[0,0]",
    "train.augment.log2_gamma=[-0.2,0.2]",
]

SETTINGS = {
    "base": [],
    "loss: decoupled": ["train.loss=decoupled"],
    "loss: vicreg, 256 outputs": ["train.loss=vicreg", "encoder.projection_dim=256"],
    "loss: simsiam": ["train.loss=simsiam"],
    "temperature 0.05": ["train.temperature=0.05"],
    "temperature 0.2": ["train.temperature=0.2"],
    "same segment counts as negative": ["train.mask_same_segment=false"],
    "segments in turn": ["data.balance=segments"],
    "running mean of weights 0.98": ["train.ema_decay=0.98"],
    "orientations off": ["train.augment.axis_permutations=false", "train.augment.flips=false"],
    "grey as published": PUBLISHED_GREY,
    "decoupled, grey as published": ["train.loss=decoupled", *PUBLISHED_GREY],
    "blur and noise": ["train.augment.blur_sd_vx=0.7", "train.augment.noise_sd=0.03"],
    "sections": [
        "train.augment.section_contrast=0.1",
        "train.augment.section_brightness=0.05",
        "train.augment.missing_section=0.03",
    ],
    "mask: erode 1, part dropped 0.3": [
        "train.augment.erode_vx=1",
        "train.augment.drop_probability=0.3",
    ],
    "depth 18": ["encoder.depth=18"],
    "width 0.5": ["encoder.width=0.5"],
    "stem patch": ["encoder.stem=patch"],
    "published heads": ["encoder.heads=published"],
    "grey input": ["encoder.input=grey"],
    "cube 33": ["cubes.size_vx=33"],
    "cube 49": ["cubes.size_vx=49"],
    "learning rate 0.002": ["train.learning_rate=0.002"],
    "96 pairs": ["train.batch_pairs=96"],
}


def segclr(*arguments):
    subprocess.run([SEGCLR, *arguments], cwd=TOP, check=True, stdout=subprocess.DEVNULL)


def base_run(folder, seed):
    """A run with everything before training, made once a seed."""
    base = folder / f"base-{seed}"
    for stage in ("skeletonize", "nodes", "pairs", "cubes"):
        segclr(stage, "--config", "configs/fib25.yaml", "--set", f"run={base}", "--set", f"seed={seed}")
    return base


def variant_run(base, folder, *, seed, steps, changes):
    """The base with other settings: run.yaml is made anew, records stay and are checked by digest.

    Other cubes mean other blocks of work, so such a run begins from nothing.
    """
    if folder.exists():
        shutil.rmtree(folder)
    if not any(c.startswith("cubes.") for c in changes):
        shutil.copytree(base, folder)
        (folder / "run.yaml").unlink()
    wanted = [
        f"run={folder}",
        f"seed={seed}",
        f"train.steps={steps}",
        "evaluate.untrained_baseline=false",
        *BASE,
        *changes,
    ]
    segclr("run", "configs/fib25.yaml", *[a for one in wanted for a in ("--set", one)])


def judge(folder):
    rows = json.loads((folder / "evaluation" / "retrieval.json").read_text())
    return {f"{row['encoder']}, {row['exclusion_nm']:g} nm": row for row in rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--only", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--folder", type=Path, default=Path("runs/fib25-settings"))
    arguments = parser.parse_args()
    folder = arguments.folder.absolute()
    base = base_run(folder, arguments.seed)
    done = json.loads(RESULT.read_text()) if RESULT.exists() else {"runs": []}
    done["machine"] = f"{processor()}, {os.cpu_count()} shared cores, CPU only"
    for name in arguments.only:
        key = {"setting": name, "seed": arguments.seed, "steps": arguments.steps}
        if any(key.items() <= row.items() for row in done["runs"]):
            continue
        begin = time.monotonic()
        variant = folder / "variant"
        variant_run(base, variant, seed=arguments.seed, steps=arguments.steps, changes=SETTINGS[name])
        seconds = round(time.monotonic() - begin)
        row = {**key, "changes": SETTINGS[name], "seconds": seconds, "scores": judge(variant)}
        done["runs"].append(row)
        RESULT.write_text(json.dumps(done, indent=1) + "\n")
        print(name, {k: round(v["share"], 3) for k, v in row["scores"].items()}, flush=True)


if __name__ == "__main__":
    main()
