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
# # 2 · Train on your own volume and resolution
#
# An encoder learns from **your** volume, at your voxel size, without labels. You need an EM volume and a
# segmentation on one grid, and the extra `skeletonize` (kimimaro).
#
# Three things must be chosen: **voxel size, cube size and pair distance**. This notebook shows what each of
# them changes, makes a first choice from the volume's metadata, and trains for a few minutes: long enough to
# see whether it learns.
#
# ## Change these paths
#
# They point to tissue that this package makes. Put your own here (relative paths start at the folder of this
# notebook), or the real FIB-SEM block of fly medulla, if you have it beside the checkout:
# `precomputed://file://../../shared/data/fib25/em` and `…/fib25/seg`. Everything below goes by these three
# lines; no other line need be changed.

# %%
EM = "precomputed://file://../runs/tissue/tissue/em"
SEGMENTATION = "precomputed://file://../runs/tissue/tissue/segmentation"
RUN = "../runs/mine"  # a folder of its own: skeletons, nodes, encoder and embeddings go there

# %%
# %matplotlib inline
# %config InlineBackend.figure_formats = ["retina"]
import itertools
from pathlib import Path

import numpy as np
import pandas as pd

import segclr
from pipelines.cubes import rows_of_nodes
from pipelines.nodes import read_nodes
from pipelines.packaged import packaged_config
from pipelines.plan import plan_run
from pipelines.report_scores import retrieval_section
from pipelines.report_training import read_curve, training_curve
from pipelines.training_data import training_data
from pipelines.workflow import run_all, run_one
from segclr.config import load_config
from segclr.data.cubes import crop_cubes
from segclr.data.pairs import PairTable
from segclr.data.scales import stored_voxel_sizes
from segclr.plan import suggest
from segclr.store.parquet import read_columns
from segclr.train import train_encoder
from segclr.view import figure_cubes, figure_training, read_training

# %% [markdown]
# The made tissue of the example, if it is not there yet (some ten seconds; skipped for your own volume):

# %%
if "../runs/tissue/" in EM:
    example = ["run=../runs/tissue", "tissue.n_blocks=1"]
    run_one(load_config(packaged_config("notebooks"), example), "tissue")

# %% [markdown]
# ## What is stored

# %%
scales = stored_voxel_sizes(EM)
stored = segclr.open_volume(EM, voxel_size_nm=scales[0])
size_um = tuple(n * s / 1000 for n, s in zip(stored.bounds.size, stored.voxel_size_nm, strict=True))
print("stored voxel sizes, nm (x, y, z):", *scales, sep="\n  ")
print(f"volume: {' x '.join(f'{edge:.1f}' for edge in size_um)} um, {stored.dtype}")

# %% [markdown]
# ## What to choose
#
# | | what it decides | how to choose |
# |---|---|---|
# | **cube size** in um | how much of a cell one embedding sees. Published: 4.1 um (129 voxels of 32 nm). In a block of 2.5 um, 0.66, 1.3 and 1.6 um led to retrieval of 0.25, 0.48 and 0.58 (`docs/fib25.md`): it mattered most | large, but well below the volume's edges: cubes beyond a border are black there, and places whose cubes overlap are alike for that reason alone |
# | **voxel size** in nm | which ultrastructure is left, and the price: half the size is eight times the work | published: 32 x 32 x 40. Vesicles (40 nm) are gone at 64, mitochondria stay |
# | **pair distance** | what "the same" means. Near pairs share voxels, and an encoder can tell them by these alone; far pairs make it know the cell and forget the place | most pairs further apart than a cube is wide, and within the length of your pieces of cells. Published work leaves it open; the default is 150 um |
#
# `MOST_VX` is what you can pay for: the edge of a cube in voxels. 129 with a GPU; some 30 to 40 on a few
# cores. `suggest` makes a first choice from the volume's metadata; its docstring has the arithmetic.
# Overwrite what you know better.

# %%
MOST_VX = 25
suggestion = suggest(scales, size_um, most_vx=MOST_VX)
print(suggestion)
print(f"a cube shows {' x '.join(f'{edge:.1f}' for edge in suggestion.cube_um)} um")

# %% [markdown]
# The configuration of the run: what was suggested, a small network, a short training. It is a file, so
# `segclr run` can do the same in a terminal (in this folder: the paths are relative). Every other key, with
# its unit and default, stands in `segclr/config/`.

# %%
cube_nm = suggestion.cube_vx * max(suggestion.voxel_size_nm)
CONFIG = RUN + ".yaml"
Path(CONFIG).parent.mkdir(parents=True, exist_ok=True)
Path(CONFIG).write_text(f"""\
name: my volume
run: {RUN}
volume:
  em: {EM}
  segmentation: {SEGMENTATION}
  voxel_size_nm: {list(suggestion.voxel_size_nm)}
  downsample: {suggestion.downsample}
skeletons:                  # smaller segments are dust; small blocks of work, so that two workers have something to do
  {{min_segment_vx: {suggestion.min_segment_vx}, block_vx: [128, 128, 128]}}
nodes: {{spacing_nm: {suggestion.spacing_nm}, block_vx: [128, 128, 128]}}
pairs: {{max_distance_nm: {suggestion.max_distance_nm}, n_pairs: 6000}}
cubes: {{size_vx: {suggestion.cube_vx}, margin_vx: 1, block_vx: [128, 128, 128]}}
encoder:                    # small: learns in minutes; without this section ResNet-18, as published
  {{depth: 10, stages: 3, width: 0.25, stem: medium, input: centred, heads: light}}
train:
  steps: 200                # a thousand and more for use
  batch_pairs: 32
  learning_rate: 0.004
  warmup_steps: 20
  precision: auto           # bfloat16 where the processor has it
  validate_every: 25
  augment: {{shift_vx: 1}}
embed: {{precision: auto}}
aggregate: {{radii_um: [0]}}
evaluate: {{retrieval_exclusion_nm: [{cube_nm / 2}, {cube_nm}], forest_baseline: false}}
""")
config = load_config(CONFIG)

# %% [markdown]
# ## How a masked cube looks, and what it costs
#
# Skeletons and nodes first: one skeleton a segment, a node every `spacing_nm` along it. (A second call finds
# them done.)

# %%
for stage in ("skeletonize", "nodes"):
    run = run_one(config, stage)
nodes = read_nodes(run)
print(f"{len(nodes):,} nodes on {len(np.unique(nodes.segment_ids)):,} segments")

# %% [markdown]
# One place at three cube sizes: half of what was suggested, the suggestion, and up to double. Ask of each: could
# *you* tell from it what it is? Is most of it black (too large, or a thin neurite), or is a border in the
# picture (too large for this volume)?

# %%
em, segmentation = run.open_volumes()
n_vx = suggestion.cube_vx
sizes_vx = [n_vx // 2 | 1, n_vx, min(2 * n_vx - 1, min(em.bounds.size) // 2 * 2 - 1)]
middle_nm = np.mean([em.bounds.start, em.bounds.stop], axis=0) * em.voxel_size_nm
thick = np.flatnonzero(nodes.radii_nm > np.median(nodes.radii_nm))
place = thick[[np.linalg.norm(nodes.points_nm[thick] - middle_nm, axis=1).argmin()]]
largest = segclr.cut_cubes(
    em, segmentation, nodes.points_nm[place], nodes.segment_ids[place], size_vx=max(sizes_vx)
)
figure_cubes(
    [crop_cubes(largest, size_vx=n)[0] for n in sizes_vx],
    voxel_size_nm=em.voxel_size_nm,
    titles=[f"{n} voxels, {n * em.voxel_size_nm[0] / 1000:.1f} um" for n in sizes_vx],
)

# %% [markdown]
# What each size costs, by `segclr plan` (rates of one core of the machine named in `docs/plan.md`; on a GPU
# set `plan.gpu_tflops`). The work goes with the third power of the edge.

# %%
plans = {n: plan_run(load_config(CONFIG, [f"cubes.size_vx={n}"])) for n in sizes_vx}
pd.DataFrame(
    {
        f"{n} voxels": {
            "cube, um": n * em.voxel_size_nm[0] / 1000,
            "GFLOP a cube": plan["gflop_per_cube"].value.expected,
            "this training, core-minutes": 60 * plan["train_core_hours"].value.expected,
            "embedding a million nodes, core-hours": 1e6
            * plan["encode_core_hours"].value.expected
            / plan["cubes_to_embed"].value.expected,
        }
        for n, plan in plans.items()
    }
).round(2)

# %% [markdown]
# ## What a pair is
#
# Two nodes on one skeleton. The path between them is drawn from bins, evenly as far as segments are long
# enough. A third of the segments is **held out**: training never sees them, and everything it is judged by below is theirs.

# %%
run = run_one(config, "pairs")
pairs = PairTable.from_columns(read_columns(run.path("pairs.parquet")))
a, b = rows_of_nodes(nodes, pairs)
apart_nm = np.abs(nodes.points_nm[a] - nodes.points_nm[b])
overlap = (apart_nm < np.array(em.voxel_size_nm) * suggestion.cube_vx).all(axis=1)
edges_um = np.array(config.pairs.edges_nm) / 1000
names = [f"{low:.2g} to {high:.2g}" for low, high in itertools.pairwise(edges_um)]
bins = pd.cut(pairs.distances_nm / 1000, edges_um, labels=names, include_lowest=True)
table = pd.DataFrame({"path, um": bins, "overlap": overlap}).groupby("path, um", observed=False)["overlap"]
pd.DataFrame({"pairs": table.size(), "share whose cubes have voxels in common": table.mean().round(2)})

# %% [markdown]
# If nearly all pairs overlap, raise `pairs.max_distance_nm` or take smaller cubes; in a small block you may
# have no choice, and then scores on places whose cubes overlap say little. The two cubes of a near pair and
# of a far one:

# %%
by_distance = np.argsort(pairs.distances_nm)
near, far = by_distance[len(pairs) // 20], by_distance[-len(pairs) // 20]
ends = [a[near], b[near], a[far], b[far]]
figure_cubes(
    segclr.cut_cubes(em, segmentation, nodes.points_nm[ends], nodes.segment_ids[ends], size_vx=n_vx),
    voxel_size_nm=em.voxel_size_nm,
    titles=[
        f"{name}, {pairs.distances_nm[pair] / 1000:.1f} um\n{side}"
        for name, pair in (("near pair", near), ("far pair", far))
        for side in ("one end", "other end")
    ],
)

# %% [markdown]
# ## Training
#
# Cubes of all pairs are cut once and stored; then the encoder learns. Stopped at any moment, the same cell
# goes on from the last checkpoint.

# %%
for stage in ("cubes", "train"):
    run = run_one(config, stage)

# %% [markdown]
# ### Reading the curves
#
# Every `validate_every` steps the encoder embeds pairs of **held-out** cells. The first point, step 0, is the
# untrained network: read every number against it (`docs/monitoring.md` goes through all of them).

# %%
curve = training_curve(run)
print(read_training(curve))
figure_training(curve)

# %% [markdown]
# - **a** the loss falls; alone it says little, for it depends on the batch.
# - **b, c** is a view's partner nearer than views of *other* cells? c is the steadier one; 0.5 is chance.
# - **d** how many of the 64 dimensions are in use. It may fall while the encoder learns; 1 is collapse.
# - **e** alignment (partners near) and uniformity (all spread out): only both together say something.
# - **f** partners above other cells, near ones above far ones. All curves at 1: collapse.
#
# Still rising at the end? Train longer. c falls again? The encoder learns its training cells by heart: more
# cells, or more augmentation. Nothing moves? Compare with the untrained network below before you believe in
# any score.

# %% [markdown]
# ### Collapse
#
# An encoder that says the same of everything has collapsed. Here on purpose: so much weight decay that the
# weights go to nothing. The cubes are those of the run.

# %%
lost = config.train.model_copy(
    update={
        "weight_decay": 100.0,
        "learning_rate": 0.01,
        "steps": 100,
        "batch_pairs": 8,
        "validate_every": 10,
        "validation_pairs": 32,
    }
)
train_encoder(
    training_data(run, em, segmentation),
    encoder=config.encoder,
    train=lost,
    folder=RUN + "-collapse",
    seed=0,
)
curve = read_curve(RUN + "-collapse/history.csv", embedding_dim=config.encoder.embedding_dim)
print(read_training(curve))
figure_training(curve)

# %% [markdown]
# The loss ends where guessing is, at the logarithm of the number of candidates in the batch. All cosines go
# to 1: views of other cells become as alike as partners. Red bars mark the looks at which the early warning
# was on; a run prints it as it comes. Retrieval may stay high for a while, for cosines of 0.9999 and 0.99999
# are still ranked. With losses that have no negatives (`vicreg`, `simsiam`) even the loss looks fine, so look
# at **d** and **f**.
#
# What to do when it comes unasked: a lower `train.learning_rate`, a larger `train.batch_pairs`, milder
# `train.augment`.

# %% [markdown]
# ## Was it worth it?
#
# The rest of the run embeds every node, also with the **untrained** network, and judges both without labels:
# for each node of a held-out segment, is the most similar node of all held-out ones on the same segment?
# Nodes nearer than half a cube, then a whole cube, are left out, because their cubes overlap.

# %%
run = run_all(config)
retrieval = retrieval_section(run).figures[0]
print(retrieval.caption)
retrieval.figure

# %% [markdown]
# Three numbers belong together: **trained, untrained, chance**. If trained is not clearly above untrained
# (the intervals are 95 %, over cells), nothing was learned *of cells* that random weights do not give: train
# longer, then look at cube size and voxel size.
#
# On the example's tissue that is what to expect: it gives a cell its class and little of its own
# (`docs/monitoring.md`), so this question, which of many cells, stays hard, while classes are learned
# (notebook 4). On the real block, the same 200 steps gave 0.40 trained, 0.31 untrained and 0.14 by chance,
# half a cube away, with wide intervals; 800 steps on finer, larger cubes, judged 400 nm away, give 0.76 and
# 0.45 (`docs/fib25.md`).
#
# To go on, with the file that was written, in this folder:
#
# ```
# segclr run ../runs/mine.yaml --set train.steps=2000 --set run=../runs/longer
# ```
#
# `report/index.html` in a run's folder has all figures on one page.
