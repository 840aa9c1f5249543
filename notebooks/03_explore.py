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
# # 3 · Explore embeddings
#
# Without a label: what is there, what belongs together, and where else does it look like *here*?
#
# Made tissue and a small encoder trained for a minute: structure that you see here is what the machinery
# finds in drawn tissue.

# %%
# %matplotlib inline
# %config InlineBackend.figure_formats = ["retina"]
import numpy as np
import pandas as pd
import plotly.io

import segclr
from pipelines.classify import labelled_nodes
from pipelines.packaged import packaged_config
from pipelines.workflow import run_all
from segclr.config import load_config
from segclr.explore import SearchIndex, hdbscan, kmeans, project, project_umap
from segclr.explore.directions import comparable
from segclr.view import figure_cubes, figure_embedding, figure_skeletons, scatter_widget

plotly.io.renderers.default = (
    "plotly_mimetype+notebook"  # also shown where the notebook is turned into a page
)
run = run_all(load_config(packaged_config("notebooks"), ["run=../runs/notebooks"]))

# %% [markdown]
# Nodes of held-out cells, which training never saw. Their compartments are known, for the tissue is made;
# here they only colour points.

# %%
everything = segclr.open_embeddings(run.path("embeddings")).read_all()
labelled, split = labelled_nodes(run, "compartment", everything)
table = everything.take(labelled.rows[split.test])
compartment = labelled.classes[split.test]
print(f"{len(table):,} nodes on {len(np.unique(table.segment_ids)):,} segments")
pd.Series(compartment).value_counts()

# %% [markdown]
# ## A plane to look at
#
# Training compares directions (cosine), so vectors are scaled to length 1 first: `comparable`. **PCA** keeps
# large distances, and its axes say how much of the variance they show. **UMAP** keeps neighbourhoods: near
# points are alike, but the size of clusters and the distance between them mean nothing. (The first UMAP of a
# session compiles for half a minute.)

# %%
directions = comparable(table.embeddings, "cosine")
pca = project(directions, n_components=3, seed=0)
umap = project_umap(table.embeddings, seed=0)
figure_embedding({"PCA": pca, "UMAP": umap}, classes=compartment)

# %% [markdown]
# What is the first component? Before you read biology into it, hold it against something simple: how full the
# cube is, that is, how thick the neurite.

# %%
em, segmentation = run.open_volumes()
encoder = segclr.load_encoder(run.path("encoder"))
cubes = segclr.cut_cubes(em, segmentation, table.points_nm, table.segment_ids, size_vx=encoder.size_vx)
fullness = (cubes > 0).mean(axis=(1, 2, 3))
rank_correlation = pd.DataFrame(pca.coordinates).corrwith(pd.Series(fullness), method="spearman")
print(
    "rank correlation of PC 1, 2, 3 with the share of the cube that is filled:",
    rank_correlation.round(2).tolist(),
)

# %% [markdown]
# Turn it: three principal components. Drag to turn, scroll to zoom, click on a class in the legend to hide
# it, hover to read segment, node and place. Ids are text, exact to the last digit, to be pasted into
# Neuroglancer.

# %%
scatter_widget(pca.coordinates, table=table, classes=compartment, axes="PC")

# %% [markdown]
# ## Clusters
#
# k-means divides all nodes into as many groups as you ask for, whether there are groups or not. Do the
# clusters know something of compartments? Each row sums to 1.

# %%
clusters = kmeans(table.embeddings, n_clusters=6, seed=0)
names = np.array([f"cluster {label}" for label in clusters.labels])
pd.crosstab(names, compartment, normalize="index").round(2).assign(nodes=clusters.sizes)

# %%
figure_embedding({"PCA": pca, "UMAP": umap}, classes=names)

# %% [markdown]
# A cluster that lies in one piece on the plane is a region of a cloud, not yet a kind. HDBSCAN asks whether
# there are dense groups with less dense space between them, and calls the rest noise. Read its answer before
# you believe in the number above:

# %%
dense = hdbscan(table.embeddings, min_cluster_size=25, seed=0)
print(f"{dense.n_clusters} dense groups of {dense.sizes.tolist()} nodes; {dense.n_noise:,} nodes in none")

# %% [markdown]
# Where do clusters lie on a cell? The held-out cell with the most compartments, and of those the one with
# most nodes:

# %%
kinds = pd.DataFrame({"segment": table.segment_ids, "kind": compartment}).groupby("segment")["kind"]
largest = kinds.agg(["nunique", "size"]).sort_values(["nunique", "size"]).index[-1]
on_cell = table.segment_ids == largest
figure_skeletons(table.take(on_cell), classes=names[on_cell])

# %% [markdown]
# ## Places like this one
#
# `SearchIndex` answers exactly, by cosine or straight distance. Nodes of the query's own segment, or near it,
# are alike for dull reasons, so leave them out: `other_segments=True`, `min_distance_nm=…`.

# %%
index = SearchIndex.build(table, metric="cosine", encoder_digest=encoder.digest)
queries = [int(np.flatnonzero(compartment == name)[40]) for name in ("soma", "axon", "glia")]
hits = index.query_rows(queries, k=7, other_segments=True)
hits.to_pandas().head(7)

# %% [markdown]
# The same as pictures: central slices of the masked cubes, as the encoder sees them; first the query, then
# its seven nearest nodes on other cells. Each is named by its compartment, which the search does not know.

# %%
for query, rows, similarity in zip(queries, hits.rows, hits.similarity, strict=True):
    shown = [query, *rows]
    titles = [f"query: {compartment[query]}"]
    titles += [
        f"{compartment[row]}\ncosine {cosine:.3f}" for row, cosine in zip(rows, similarity, strict=True)
    ]
    display(figure_cubes(cubes[shown], voxel_size_nm=em.voxel_size_nm, titles=titles))

# %% [markdown]
# Three galleries prove nothing. For every node: how many of its seven nearest on other cells are of its own
# compartment, and how many would be if they were drawn at random? The untrained encoder beside it, as ever.

# %%
untrained = segclr.open_embeddings(run.path("untrained/embeddings")).read_all()
tables = {"trained": table, "untrained": untrained.take(labelled.rows[split.test])}
same = {}
for name, searched in tables.items():
    found = SearchIndex.build(searched).query_rows(np.arange(len(searched)), k=7, other_segments=True)
    same[name] = (compartment[found.rows] == compartment[:, None]).mean(axis=1)
shares = pd.DataFrame(same).groupby(compartment).mean()
shares["drawn at random"] = pd.Series(compartment).value_counts(normalize=True)
shares.round(2)

# %% [markdown]
# To begin at a place in the volume, `index.nearest_row((x, y, z))` gives the node nearest to it in nm.
# `hits.to_pandas()` has the ids and places of all hits; `index.save(url)` keeps the index.
#
# ## The same in a terminal
#
# ```
# segclr search runs/notebooks --at 12000,7000,8000 -k 10 --other-segments
# segclr cluster runs/notebooks --method kmeans --n-clusters 6
# segclr project runs/notebooks --method umap
# ```
