# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 5 · Batch on a cluster
#
# The same run, the same files, the same bytes: in one process, on worker processes of a laptop, or on
# thousands of cores. This notebook plans a large run, works off a small one that is interrupted and goes on,
# and shows the commands for SLURM.

# %%
# %matplotlib inline
# %config InlineBackend.figure_formats = ["retina"]
import json
from pathlib import Path

import pandas as pd

from pipelines.array import Share
from pipelines.inspect import run_faults, run_status, status_lines
from pipelines.packaged import packaged_config
from pipelines.plan import plan_run, plan_table
from pipelines.workflow import run_all
from segclr.config import load_config
from segclr.errors import UnfinishedError
from segclr.view import figure_core_hours

# %% [markdown]
# ## What will it cost?
#
# `segclr plan CONFIG` tells nodes, bytes, hours and money **before** anything is run. It reads metadata
# alone, so the volume planned here is only described: one cubic millimetre of cortex at 32 x 32 x 40 nm, of
# which not a voxel exists.

# %%
scale = {
    "key": "32_32_40",
    "resolution": [32, 32, 40],
    "size": [31250, 31250, 25000],
    "voxel_offset": [0, 0, 0],
    "chunk_sizes": [[128, 128, 128]],
    "encoding": "raw",
}
for name, kind, dtype in (("em", "image", "uint8"), ("seg", "segmentation", "uint64")):
    folder = Path("../runs/described", name)
    folder.mkdir(parents=True, exist_ok=True)
    info = {"type": kind, "data_type": dtype, "num_channels": 1, "scales": [scale]}
    (folder / "info").write_text(json.dumps(info))

# %%
large = load_config(
    packaged_config("microns"),
    [
        "name=a cubic millimetre",
        "volume.em=precomputed://file://../runs/described/em",
        "volume.segmentation=precomputed://file://../runs/described/seg",
        "plan.gpu_tflops=20",  # placeholders: what your GPU reaches on this encoder, and what you pay
        "plan.price_per_core_hour=0.04",
        "plan.price_per_gpu_hour=2",
    ],
)
plan = plan_run(large)
plan_table(plan)

# %% [markdown]
# Every line has a low and a high, and says where it comes from: *metadata* is exact, *assumed* is a density
# of the literature, *measured rate* is one core of the machine named at the end. `--sample-blocks 8` replaces
# the assumed density by what eight blocks of your volume hold. Where the hours go, on CPUs alone (lines from
# low to high; mind the logarithmic axis):

# %%
figure_core_hours(plan.rows)

# %% [markdown]
# The encoder's arithmetic decides, and that is what a GPU is for. The same for smaller pieces of that tissue
# (`nodes.box_nm` keeps the nodes of a box):

# %%
pieces = {}
for edge_um in (50, 200, 1000):
    box = large.nodes.model_copy(update={"box_nm": ((0, 0, 0), (1000 * edge_um,) * 3)})
    part = plan_run(large.model_copy(update={"nodes": box}))
    pieces[f"{edge_um} um"] = {
        "nodes": part["nodes"].value.expected,
        "embeddings, GB": part["embeddings_bytes"].value.expected / 1e9,
        "encoding, core-hours": part["encode_core_hours"].value.expected,
        "or GPU-hours, with training": part["gpu_hours"].value.expected,
    }
pd.DataFrame(pieces).T.rename_axis("edge of the box").map("{:,.3g}".format)

# %% [markdown]
# ## A run that is interrupted
#
# A stage is divided into parts. A part is **done** when its record is whole and its files have the size and
# checksum in it, never because a file exists. So a run can be killed anywhere, and the same command goes on
# with what is missing.
#
# To see it, a tiny run: four small blocks of made tissue, six training steps (its embeddings are good for
# nothing). It starts as the first of **two processes of a job array**, the second of which never comes. The
# first does its own half of the parts and waits for the others: an hour on a cluster, two seconds here.

# %%
small = load_config(
    packaged_config("demo"),
    [
        "run=../runs/batch",
        "tissue={n_blocks: 4, block_size_vx: [112, 112, 96], somata_per_class: 1}",
        "pairs.n_pairs=200",
        "cubes={size_vx: 16, margin_vx: 2, block_vx: [112, 112, 96], shard_cubes: 64}",
        "train={steps: 6, batch_pairs: 8, validation_pairs: 16, augment: {shift_vx: 2}}",
        "aggregate={radii_um: [0, 5], metrics: [euclidean]}",
        "evaluate={forest_baseline: false}",
    ],
)
impatient = small.cluster.model_copy(update={"kind": "none", "wait_s": 2.0})
try:
    run_all(small.model_copy(update={"cluster": impatient}), Share(part=0, of=2))
except UnfinishedError as unfinished:
    print("exit status 75:", unfinished)

# %% [markdown]
# `segclr status RUN` tells what is there:

# %%
print(*status_lines(run_status("../runs/batch")), sep="\n")

# %% [markdown]
# Now the same run again, whole, on two local worker processes. It does what is missing.

# %%
print(small.cluster.kind, small.cluster.workers, "workers")
run = run_all(small)

# %%
print(*status_lines(run_status("../runs/batch")), sep="\n")

# %% [markdown]
# ## Is it whole?
#
# `segclr validate RUN` reads every file and compares it with its record, and makes sure that every node is
# embedded exactly once.

# %%
faults, set_aside = run_faults("../runs/batch")
print(f"{len(faults)} faults, {len(set_aside)} parts set aside")
assert not faults

# %% [markdown]
# It would be no check if it could not fail. One bit of an embedding file is flipped, as a bad disk might:

# %%
shard = Path(run.path("embeddings/shard-0001-of-0002.parquet"))
content = bytearray(shard.read_bytes())
content[len(content) // 2] ^= 1
shard.write_bytes(content)
faults, _ = run_faults("../runs/batch")
print(*faults, sep="\n")
assert any("shard-0001" in fault for fault in faults)

# %% [markdown]
# The same command mends it: that one part is made again, with the same bytes, so nothing after it need be.

# %%
run_all(small)
faults, _ = run_faults("../runs/batch")
print(f"{len(faults)} faults")
assert not faults

# %% [markdown]
# ## On SLURM
#
# Two ways; neither needs another line of code. **Jobs that bring workers**: a process that stays on a login
# or service node submits jobs and hands out parts (`pip install 'segclr[slurm]'`):
#
# ```
# segclr run my.yaml --cluster configs/clusters/slurm.yaml
# ```

# %%
print(Path(packaged_config("clusters/slurm")).read_text())

# %% [markdown]
# **A job array**: no scheduler of ours, no open port. Task *i* of *N* does every *N*-th part of each stage,
# as above. Tasks may start at any time, be preempted and requeued; 16 now and 64 later is fine.
#
# ```
# sbatch --array=0-15 configs/clusters/slurm_array.sbatch my.yaml
# ```
#
# The line of the script that does the work:
#
# ```
# segclr run my.yaml --cluster none --part $SLURM_ARRAY_TASK_ID --of $SLURM_ARRAY_TASK_COUNT
# ```
#
# While it runs, and after:
#
# ```
# segclr status runs/mine              # parts done, failed, missing, and the rate of late
# segclr validate runs/mine            # exit status 0: all promises hold
# segclr run my.yaml …                 # again: only what is missing
# ```
#
# | exit status | meaning |
# |---|---|
# | 0 | done |
# | 1 | failed, or done without parts that were set aside: `segclr status` says which and why |
# | 2 | wrong usage or configuration |
# | 75 | nothing is wrong, the same command goes on: preempted, or others of the array are not done |
#
# A GPU only where it helps: train first on a GPU node (`segclr train --config my.yaml`), then embed with
# `cluster.gpus` in the YAML. LSF, PBS, Kubernetes and a running Dask scheduler: `docs/clusters.md`, which
# also says what was tried and what was not.
