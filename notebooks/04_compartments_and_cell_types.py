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
# # 4 · Compartments and cell types
#
# From embeddings and some labels to classes, and to an honest answer to *how good is it?*
#
# Everything is made tissue and a small encoder trained for a minute, so **the numbers say nothing about real
# tissue**; the way to get them is the point.

# %%
# %matplotlib inline
# %config InlineBackend.figure_formats = ["retina"]
import numpy as np
import pandas as pd

import segclr
from pipelines.aggregate import read_aggregated
from pipelines.classify import labelled_nodes
from pipelines.packaged import packaged_config
from pipelines.report_scores import probe_section
from pipelines.run import TRAINED, UNTRAINED
from pipelines.workflow import run_all
from segclr.classify import (
    LinearClassifier,
    MergeProtocol,
    ResNetClassifier,
    choose_threshold,
    evaluate,
    evaluate_merges,
    fit_merge_finder,
    label_sweep,
    leave_one_class_out,
    reliability,
    split_by_segment,
)
from segclr.classify.artificial_merges import draw_contacts, find_contacts, join_cells
from segclr.config import load_config
from segclr.view import (
    LabelCurve,
    Score,
    figure_confusions,
    figure_edge_scores,
    figure_label_efficiency,
    figure_reliability,
    figure_scores,
)

run = run_all(load_config(packaged_config("notebooks"), ["run=../runs/notebooks"]))

# %% [markdown]
# ## Labels, and which cells they are of
#
# `labelled_nodes` joins embeddings with the run's labels: a type for each cell, or a compartment for each
# node. The split is by cell: the test side is the segments that the *encoder* never saw either.

# %%
alone = read_aggregated(run, TRAINED, metric="euclidean", radius_um=0)
labelled, split = labelled_nodes(run, "cell_type", alone)
cells, first = np.unique(alone.segment_ids[labelled.rows], return_index=True)
is_test = np.isin(cells, alone.segment_ids[labelled.rows[split.test]])
pd.crosstab(labelled.classes[first], np.where(is_test, "test cells", "training cells"))

# %% [markdown]
# ## Split by cell, never by node
#
# Nodes of one cell are alike because they are of one cell. If some stand on the training side and others on
# the test side, a classifier recognises *the cell* and is praised for knowing *the type*. The same classifier
# and the same nodes, means over 10 um, split both ways:

# %%
around = segclr.aggregate(alone, radius_um=10)
X, y = around.embeddings[labelled.rows], labelled.classes
cell = around.segment_ids[labelled.rows]
each_node = np.arange(len(cell), dtype=np.uint64)
scores = []
for method, unit in (("split by node: wrong", each_node), ("split by cell", cell)):
    sides = split_by_segment(unit, y, test_share=0.33, seed=0)
    model = LinearClassifier(C=1.0).fit(X[sides.train], y[sides.train])
    judged = evaluate(y[sides.test], model.predict(X[sides.test]), groups=cell[sides.test])
    scores.append(
        Score(task="cell types", method=method, value=judged.macro_f1, interval=judged.macro_f1_interval)
    )
figure_scores(scores)

# %% [markdown]
# The left bar is what a split by node makes of the same embeddings. Whatever takes a split refuses a cell on
# both sides. Bars are macro F1 (the mean of F1 over classes, so rare classes count as much), with 95 %
# bootstrap intervals over cells. Both splits are drawn at random and mix cells that the encoder was trained
# on with others; from here on the run's own split is used, whose test cells it never saw.
#
# ## Radius
#
# One place says little of a cell's type; the mean over its neighbourhood says more. For compartments there is
# a price: a mean wider than the compartment mixes it with the next. The run has scored both kinds of labels
# at its radii, by straight distance and by path, for the trained and the untrained encoder. Cell types:

# %%
sections = {task: probe_section(run, task) for task in ("cell_type", "compartment")}
figures = {figure.name: figure for section in sections.values() for figure in section.figures}
print(figures["cell_type-radius"].caption)
figures["cell_type-radius"].figure

# %% [markdown]
# Compartments:

# %%
figures["compartment-radius"].figure

# %% [markdown]
# Which classes are mixed up, for cell types:

# %%
print(figures["cell_type-confusion"].caption)
figures["cell_type-confusion"].figure

# %% [markdown]
# ## Few labels
#
# How many labels does it take? Labels are drawn spread over cells, with every class among them, several
# times; each fit is judged on all test nodes. The bars reach from the lowest to the highest draw.

# %%
untrained = segclr.aggregate(
    read_aggregated(run, UNTRAINED, metric="euclidean", radius_um=0), radius_um=10
).embeddings[labelled.rows]
numbers = (10, 30, 100, 300, 1000, len(split.train))
curves = []
for name, vectors in (("trained", X), ("untrained", untrained)):
    rows = label_sweep(
        LinearClassifier(C=1.0, calibrate=False), vectors, y, cell, split, n_labels=numbers, repeats=3
    )
    found = {n: [row.evaluation.macro_f1 for row in rows if row.n_labels == n] for n in numbers}
    curves.append(LabelCurve(name=name, n_labels=list(found), scores=list(found.values())))
figure_label_efficiency(curves)

# %% [markdown]
# ## Is it as sure as it is right? Calibration
#
# Of the nodes for which a classifier says 0.8, about 80 % should be right: then its curve follows the
# diagonal. With `groups` (the cell of each row), one temperature is fitted on cells that were left out of the
# fit. `ece` is the mean distance from the diagonal.

# %%
lines = {}
for name, calibrate in (("as fitted", False), ("calibrated", True)):
    model = LinearClassifier(C=1.0, calibrate=calibrate)
    model.fit(X[split.train], y[split.train], groups=cell[split.train])
    found = reliability(
        y[split.test], model.predict_proba(X[split.test]), model.classes_, groups=cell[split.test], n_bins=8
    )
    print("{}: ece {:.2f} [{:.2f}, {:.2f}]".format(name, found.ece, *found.ece_interval))
    some = found.n >= 20
    lines[name] = found.confidence[some], found.accuracy[some]
figure_reliability(lines)

# %% [markdown]
# Below the diagonal a classifier is too sure, above it not sure enough. Bins of fewer than 20 nodes are left
# out. Nodes of one cell are right or wrong together, so with a few dozen cells the curve is rough, and one
# temperature cannot straighten all of it.
#
# ## "Unknown"
#
# A classifier answers with one of its classes, whatever it is shown. Two questions: does its uncertainty find
# what is of **no known class**, and where to draw the line?
#
# The trial: leave one class out of training, and see whether its test cells get a higher uncertainty than
# those of the known classes. AUROC 0.5 is chance; below it, a classifier is *surer* of the class it never
# saw. A linear classifier is as sure far from all labels as near them; `ResNetClassifier` ends in a Gaussian
# process, whose variance says how far an embedding is from all that it learnt from. It looks at the direction
# of embeddings alone, which is what contrastive training compares.

# %%
residual = ResNetClassifier(direction=True, likelihood="gaussian", uncertainty_from="variance")
models = {"linear, entropy": LinearClassifier(C=1.0), "residual, variance": residual}
trials = [
    Score(
        task=found.left_out,
        method=name,
        value=found.detection.auroc,
        interval=found.detection.auroc_interval,
    )
    for name, model in models.items()
    for found in leave_one_class_out(model, X, y, cell, split, left_out=("astrocyte", "excitatory", "opc"))
]
figure_scores(trials, ylabel="AUROC of finding the class left out")

# %% [markdown]
# What lies between known classes (a neuron of another kind) is harder to find than what lies beyond all of
# them. With six to fifty test cells a class, the intervals are wide.
#
# The line is drawn by known classes alone: so that on cells that were not learned from, 5 % of the nodes are
# called unknown by mistake. Here without the class *opc*, whose cells are then shown to the classifier among
# the others:

# %%
known = split.train[y[split.train] != "opc"]
threshold = choose_threshold(residual, X[known], y[known], cell[known], rate=0.05)
model = residual.fit(X[known], y[known], groups=cell[known])
answers = model.predict(X[split.test], unknown_above=threshold.unknown_above)
print(threshold)
figure_confusions({"never shown: opc": evaluate(y[split.test], answers, groups=cell[split.test])})

# %% [markdown]
# The row *opc* has no right answer but "unknown" (macro F1 counts it as missed). In the other rows "unknown"
# is a mistake: on new cells its share may differ from the wanted 5 %, for few cells choose the threshold.
#
# ## Merge errors
#
# A segment that joins two cells changes its type and its embedding across one edge of the tree. A *merge
# finder* learns from the labelled training cells how much cells vary on their own, and scores every edge. It
# is tried on merges made on purpose: held-out cells joined where they come nearest.

# %%
whole = alone.take(labelled.rows)
train, test = (whole.take(rows) for rows in (split.train, split.test))
finder = fit_merge_finder(train, y[split.train], radius_um=25, penalty=1.0)
protocol = MergeProtocol()
pd.DataFrame(result.to_dict() for result in evaluate_merges(finder, test, y[split.test], protocol))[
    [
        "kind",
        "n_merged",
        "auroc",
        "matched_auroc",
        "size_auroc",
        "at_joint",
        "median_error_um",
        "chance_error_um",
    ]
].round(2)

# %% [markdown]
# - `auroc`: chance that a merged segment scores above an unmerged one. **Merged segments are larger**, and
#   the highest of more edges is higher by chance: `size_auroc` is what the number of nodes alone reaches. So
#   read `matched_auroc`, which compares segments of equal size.
# - `at_joint`: share of merges whose highest edge is the very edge that joins the cells; `median_error_um`:
#   how far it is, beside a random edge.
#
# One of them, edges coloured by score. The joint is circled: there, or next to it, the score should be
# highest.

# %%
contacts = find_contacts(test, max_gap_um=protocol.max_gap_um)
sizes = dict(zip(*np.unique(test.segment_ids, return_counts=True), strict=True))
large = [contact for contact in contacts if min(sizes[c] for c in contact.cells) >= 15]
merged = join_cells(test, draw_contacts(large, n=1, per_cell=1, seed=1)[0])
found = finder.score(merged.table)
figure_edge_scores(
    merged.table,
    rows=found.rows,
    scores=found.score,
    label="score of an edge",
    marked=np.flatnonzero(merged.table.node_ids == merged.joint),
)

# %% [markdown]
# In a run of your own: `segclr classify merges --config my.yaml` scores every edge of every segment. The
# score ranks edges of one tissue and one encoder; it is no probability (`docs/merges.md`).
#
# ## The same in a terminal
#
# ```
# segclr classify fit     --config my.yaml --task cell_type --radius-um 10 --kind resnet --unknown-rate 0.05
# segclr classify predict --config my.yaml --task cell_type --radius-um 10 --kind resnet
# ```
#
# `labels.cell_types` of the configuration is a table with `segment_id` and `cell_type`; `labels.compartments`
# a label volume. More: `docs/classifiers.md`.
