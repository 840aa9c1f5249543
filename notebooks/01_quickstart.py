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
# # 1 · Quickstart
#
# From an EM volume and a segmentation to one vector for every place on every cell:
#
# 1. open a volume,
# 2. look at a **masked cube**: what the encoder sees of a place,
# 3. turn cubes into **embeddings**,
# 4. look at all embeddings at once.
#
# Everything happens on *made tissue*, drawn by this package (`docs/tissue.md`), so it needs no network and no
# data of yours. Made tissue shows that the machinery works; it says nothing about real tissue.

# %%
# %matplotlib inline
# %config InlineBackend.figure_formats = ["retina"]
import numpy as np
import pandas as pd

import segclr
from pipelines.classify import labelled_nodes
from pipelines.packaged import packaged_config
from pipelines.workflow import run_all
from segclr.config import load_config
from segclr.explore import project
from segclr.explore.directions import comparable
from segclr.view import figure_cubes, figure_embedding, figure_section, figure_skeletons

# %% [markdown]
# All notebooks share one small run. It is made the first time, in a minute or two on two cores; after that
# its stages are found done. `segclr run configs/notebooks.yaml` in a terminal does the same.

# %%
run = run_all(load_config(packaged_config("notebooks"), ["run=../runs/notebooks"]))

# %% [markdown]
# ## A volume
#
# `open_volume` takes `precomputed://`, `zarr://` (OME-Zarr), `n5://` and `graphene://`, on disk or in a
# bucket. You say which voxel size you want, and get the stored scale nearest to it, or an error with the list
# of those there are.

# %%
em = segclr.open_volume(run.volume.em, voxel_size_nm=(64, 64, 80))
segmentation = segclr.open_volume(run.volume.segmentation, voxel_size_nm=(64, 64, 80))
em.bounds, em.voxel_size_nm, segmentation.dtype

# %% [markdown]
# Boxes and points are **(x, y, z)**, arrays are **[z, y, x]**, places are in **nanometres**, and segment ids
# are `uint64` from end to end. Part of one section, 12 um wide:

# %%
section = segclr.BoundingBox((0, 16, 96), (192, 208, 97))
figure_section(em.read(section)[0], segmentation.read(section)[0], pixel_nm=em.voxel_size_nm[:2])

# %% [markdown]
# ## A masked cube
#
# The run has placed nodes along every cell, about 1.5 um apart; each lies inside its own segment. A cell, and
# a node in the middle of its list:

# %%
embeddings = segclr.open_embeddings(run.path("embeddings"))
table = embeddings.read_all()
labelled, split = labelled_nodes(run, "compartment", table)
kinds = pd.DataFrame({"segment": table.segment_ids[labelled.rows], "kind": labelled.classes}).groupby(
    "segment"
)
whole = (
    kinds["kind"].agg(["nunique", "size"]).sort_values(["nunique", "size"]).index[-1]
)  # most compartments, most nodes
cell = embeddings[whole]
node = len(cell) // 2
center_nm, segment_id = cell.points_nm[[node]], cell.segment_ids[[node]]
print(f"segment {segment_id[0]} has {len(cell)} nodes; node {node} is at {center_nm[0]} nm")

# %% [markdown]
# `cut_cubes` cuts EM around a place and keeps it **where the segmentation equals the node's segment**;
# everything else is 0. So an embedding describes one cell and not its neighbours. Below: three sections
# through a cube before and after masking, 65 voxels wide (4.2 x 4.2 x 5.2 um) so that the eye has something
# to go by.

# %%
around = {
    content: segclr.cut_cubes(em, segmentation, center_nm, segment_id, size_vx=65, content=content)[0]
    for content in ("em", "mask", "masked")
}
figure_cubes(
    list(around.values()), voxel_size_nm=em.voxel_size_nm, titles=["EM", "the node's segment", "masked EM"]
)

# %% [markdown]
# The encoder of this run is small and sees less: 25 voxels, 1.6 um. Seven places on seven cells, as it sees
# them:

# %%
encoder = segclr.load_encoder(run.path("encoder"))
some = np.random.default_rng(2).choice(len(table), 7, replace=False)
cubes = segclr.cut_cubes(
    em, segmentation, table.points_nm[some], table.segment_ids[some], size_vx=encoder.size_vx
)
figure_cubes(
    cubes,
    voxel_size_nm=em.voxel_size_nm,
    titles=[f"segment …{i % 10**6:06d}" for i in table.segment_ids[some].tolist()],
)

# %% [markdown]
# ## Embeddings
#
# `encoder.embed` turns cubes into vectors of 64 numbers. The run has done so for every node, block by block;
# the vectors here equal the stored ones but for rounding.

# %%
vectors = encoder.embed(cubes)
print(vectors.shape, vectors.dtype, "largest difference", np.abs(vectors - table.embeddings[some]).max())
assert np.allclose(vectors, table.embeddings[some], atol=1e-4)
cell.to_pandas().iloc[:5, :10]

# %% [markdown]
# ## All embeddings at once
#
# Training used no labels. It showed the encoder two places on one cell and asked for vectors of one
# direction, and for other directions from other cells (notebook 2). Below are the nodes of **held-out**
# cells, which training never saw: their vectors, scaled to length 1, on the first two principal components.
# The labels only colour the points.
#
# On the left is the same network *before* training. Always look at it beside: cubes differ in how full they
# are, so random weights already separate some classes.

# %%
rows = labelled.rows[split.test]
untrained = segclr.open_embeddings(run.path("untrained/embeddings")).read_all()
panels = {
    name: project(comparable(vectors[rows], "cosine"), seed=0)
    for name, vectors in (("untrained", untrained.embeddings), ("trained", table.embeddings))
}
figure_embedding(panels, classes=labelled.classes[split.test])

# %% [markdown]
# Two components show part of what 64 numbers hold: the axes say how much. Whether classes can be told apart
# is a question for a classifier on held-out cells (notebook 4), not for the eye.
#
# The compartments of the cell above, which the colours stand for:

# %%
on_cell = table.segment_ids[labelled.rows] == whole
figure_skeletons(table.take(labelled.rows[on_cell]), classes=labelled.classes[on_cell])

# %% [markdown]
# ## Next
#
# - `02_train_your_own`: your own volume and resolution
# - `03_explore`: UMAP, clusters, similar places
# - `04_compartments_and_cell_types`: labels, scores, uncertainty, merge errors
# - `05_batch_on_a_cluster`: large volumes
