"""Fit and judge classifiers on a run's embeddings.

The stage ``evaluate`` has one part a task: linear probes for each kind of label, with the baselines
beside them, and retrieval, which needs no labels. Held-out segments are the ones kept from training.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.aggregate import read_aggregated, settings
from pipelines.blocks import Stage
from pipelines.classifiers import (
    Kind,
    classifier_name,
    encoder_digest_of,
    new_classifier,
    write_threshold,
)
from pipelines.features import read_features
from pipelines.labels import cell_types, check_split, labels_digest
from pipelines.nodes import nodes_left
from pipelines.pairs import held_out_segments
from pipelines.progress import console
from pipelines.records import Outcome, stage_digest
from pipelines.run import TRAINED, UNTRAINED, EmbeddingSet, Run
from segclr import files
from segclr.classify import (
    Joined,
    Labels,
    LinearClassifier,
    Split,
    choose_threshold,
    evaluate,
    forest_baseline,
    join_labels,
    retrieval,
    split_from_segments,
)
from segclr.config import Metric, digest
from segclr.data.lookup import values_at
from segclr.data.nodes import NodeTable
from segclr.errors import ConfigError, LabelError
from segclr.store.embeddings import EmbeddingTable
from segclr.store.parquet import read_columns

__all__ = [
    "TASKS",
    "check_setting",
    "encoders_of",
    "evaluate_stage",
    "fit_classifier",
    "labelled_nodes",
    "labels_of",
    "node_classes",
    "tasks_of",
    "tell_absent_types",
]

TASKS = ("compartment", "cell_type", "retrieval")


def tasks_of(run: Run) -> list[str]:
    """Tasks a run's labels allow; retrieval needs none."""
    labels = run.labels
    wanted = {"compartment": labels.compartments, "cell_type": labels.cell_types, "retrieval": True}
    return [task for task in TASKS if wanted[task]]


def encoders_of(run: Run) -> list[EmbeddingSet]:
    """The trained encoder, and the untrained one where the run compares with it."""
    return [TRAINED, UNTRAINED] if run.config.evaluate.untrained_baseline else [TRAINED]


def evaluate_stage(run: Run) -> Stage:
    """One part for each task."""
    check_split(run, held_out_segments(run))
    inputs = {
        which.stage("aggregate"): stage_digest(run.url, which.stage("aggregate"))
        for which in encoders_of(run)
    }
    inputs |= {"evaluate": digest(run.config.evaluate), "labels": labels_digest(run)}
    if run.config.evaluate.forest_baseline:
        inputs["features"] = stage_digest(run.url, "features")
    return Stage("evaluate", tasks_of(run), functools.partial(_evaluate, run), inputs)


def _evaluate(run: Run, task: str) -> Outcome:
    rows = _retrieval(run) if task == "retrieval" else _probe(run, task)
    name = f"evaluation/{task}.json"
    files.write_json(run.path(name), rows)
    return Outcome((name,), rows=len(rows))


def _retrieval(run: Run) -> list[dict[str, Any]]:
    """Retrieval among the nodes of held-out segments, for each encoder and exclusion."""
    held_out = np.array(sorted(held_out_segments(run)), dtype=np.uint64)
    rows: list[dict[str, Any]] = []
    for which in encoders_of(run):
        table = read_aggregated(run, which, metric="euclidean", radius_um=0)
        table = table.take(np.isin(table.segment_ids, held_out))
        rows += [
            {
                "encoder": which.name,
                **retrieval(table, exclusion_nm=exclusion_nm, seed=run.config.seed).to_dict(),
            }
            for exclusion_nm in run.config.evaluate.retrieval_exclusion_nm
        ]
    return rows


def _probe(run: Run, task: str) -> list[dict[str, Any]]:
    """Linear probes on every aggregation of every encoder, and the forest on ten features."""
    rows: list[dict[str, Any]] = []
    for which in encoders_of(run):
        single: list[tuple[Metric, float]] = [("euclidean", 0.0)]
        for metric, radius_um in [*single, *settings(run.config.aggregate)]:
            table = read_aggregated(run, which, metric=metric, radius_um=radius_um)
            joined, split = labelled_nodes(run, task, table)
            classifier = LinearClassifier(C=run.config.evaluate.probe_c)
            X, y = table.embeddings[joined.rows], joined.classes
            classifier.fit(X[split.train], y[split.train])
            judged = evaluate(
                y[split.test],
                classifier.predict(X[split.test]),
                np.unique(y),
                groups=table.segment_ids[joined.rows][split.test],
                seed=run.config.seed,
            )
            setting = {"encoder": which.name, "metric": metric, "radius_um": radius_um}
            rows.append({**setting, "n_train": len(split.train), **judged.to_dict()})
    if run.config.evaluate.forest_baseline:
        table = read_aggregated(run, TRAINED, metric="euclidean", radius_um=0)
        joined, split = labelled_nodes(run, task, table)
        judged = forest_baseline(
            read_features(run)[joined.rows],
            joined.classes,
            split,
            groups=table.segment_ids[joined.rows],
            seed=run.config.seed,
        )
        setting = {"encoder": "ten features", "metric": "euclidean", "radius_um": 0.0}
        rows.append({**setting, "n_train": len(split.train), **judged.to_dict()})
    return rows


def labelled_nodes(run: Run, task: str, table: EmbeddingTable) -> tuple[Joined, Split]:
    """Rows that have a label, and which of them are on which side, by the run's held-out segments.

    The split counts the labelled rows: ``joined.rows[split.test]`` are rows of the table.
    """
    joined = join_labels(table, labels_of(run, task, table))
    ids = table.segment_ids[joined.rows]
    held_out = np.array(sorted(held_out_segments(run)), dtype=np.uint64)
    split = split_from_segments(
        ids, train_segments=np.setdiff1d(ids, held_out), test_segments=np.intersect1d(ids, held_out)
    )
    return joined, split


def node_classes(run: Run, task: str, nodes: NodeTable) -> NDArray[np.str_]:
    """Class of each node, "" where it has no label."""
    labels = _compartments(run) if task == "compartment" else _cell_type_labels(run, nodes.segment_ids)
    if labels.node_ids is None:
        known = dict(zip(labels.segment_ids.tolist(), labels.classes.tolist(), strict=True))
        return np.array([known.get(i, "") for i in nodes.segment_ids.tolist()], dtype=str)
    places = zip(labels.segment_ids.tolist(), labels.node_ids.tolist(), strict=True)
    of_node = dict(zip(places, labels.classes.tolist(), strict=True))
    keys = zip(nodes.segment_ids.tolist(), nodes.node_ids.tolist(), strict=True)
    return np.array([of_node.get(key, "") for key in keys], dtype=str)


def labels_of(run: Run, task: str, table: EmbeddingTable) -> Labels:
    """The labels of a task, of the nodes or segments of a table."""
    return _compartments(run) if task == "compartment" else _cell_type_labels(run, table.segment_ids)


def _cell_type_labels(run: Run, segment_ids: NDArray[np.uint64]) -> Labels:
    """Cell types of the segments that have embeddings; a table may name more."""
    types = cell_types(run)
    if types is None:
        msg = "the run has no labels.cell_types; retrieval needs no labels and no classifier"
        raise ConfigError(msg)
    labels = Labels(
        segment_ids=types["segment_id"].to_numpy(), classes=types["cell_type"].to_numpy(dtype=str)
    )
    return labels.within(segment_ids)


def tell_absent_types(run: Run) -> None:
    """Say how many segments of the table of cell types are none of the run's, if any: ids may be damaged."""
    types = cell_types(run)
    if types is None:
        return
    ours = read_columns(run.path("segments.parquet"), ["segment_id"])["segment_id"]
    n = int((~np.isin(types["segment_id"].to_numpy(), ours)).sum())
    if n:
        told = f"{n} of {len(types)} segments in {run.labels.cell_types} have no node here and are left out"
        console().print(told, markup=False)


def _compartments(run: Run) -> Labels:
    """Class of each node that is not lost, from the label volume; values without a name label nothing."""
    labels, nodes = run.labels, nodes_left(run)
    values = values_at(run.open_compartments(), nodes.points_nm)
    names: NDArray[Any] = np.array([labels.compartment_names.get(int(v), "") for v in values], dtype=str)
    named = names != ""
    if not named.any():
        msg = (
            f"no node has a compartment: {labels.compartments} holds {np.unique(values).tolist()} at the "
            f"nodes, labels.compartment_names names {sorted(labels.compartment_names)}"
        )
        raise LabelError(msg)
    return Labels(segment_ids=nodes.segment_ids[named], node_ids=nodes.node_ids[named], classes=names[named])


def fit_classifier(
    run: Run,
    task: str,
    *,
    metric: Metric,
    radius_um: float,
    kind: Kind = "linear",
    unknown_rate: float | None = None,
    hold_out: bool = True,
) -> str:
    """Fit on the training segments and save; answers the classifier's URL.

    Args:
        run: with embeddings and labels.
        task: whose labels to use.
        metric: how the radius of aggregation is measured.
        radius_um: of aggregation; 0: the node alone.
        kind: of the classifier.
        unknown_rate: choose the uncertainty above which this share of held-out training rows is "unknown".
        hold_out: leave training cells out to calibrate, and to choose C or the end of training.

    Raises:
        LabelError: a class has too few training cells for what is to be chosen on held-out ones.
        ConfigError: the task takes no classifier or has no labels, the run does not aggregate so, or a
            threshold is wanted of a classifier that is fitted on all cells.
        MissingDataError: the run has no embeddings yet.
    """
    check_setting(run, task, metric, radius_um)
    if unknown_rate is not None and not hold_out:
        msg = (
            "a threshold for 'unknown' is chosen on cells that are left out, and is not that of a classifier "
            "fitted on all: give --unknown-rate or --no-hold-out, not both"
        )
        raise ConfigError(msg)
    check_split(run, held_out_segments(run))
    table = read_aggregated(run, TRAINED, metric=metric, radius_um=radius_um)
    joined, split = labelled_nodes(run, task, table)
    if task == "cell_type":
        tell_absent_types(run)
    rows = joined.rows[split.train]
    X, y, cells = table.embeddings[rows], joined.classes[split.train], table.segment_ids[rows]
    lonely = [c for c in np.unique(y) if len(np.unique(cells[y == c])) < 2]
    if hold_out and lonely:
        msg = (
            f"class {', '.join(lonely)} has one training cell only, and cells are held out to calibrate and "
            "to choose by: label more cells, or fit with --no-hold-out"
        )
        raise LabelError(msg)
    classifier, seed = new_classifier(run, kind), run.config.seed
    threshold = None
    if unknown_rate is not None:
        threshold = choose_threshold(classifier, X, y, cells, rate=unknown_rate, seed=seed)
    classifier.fit(X, y, cells if hold_out else None)
    url = run.path("classifiers", classifier_name(task, metric, radius_um, kind))
    write_threshold(url, None)  # that of an earlier fit must not outlive it
    classifier.save(url, encoder_digest=encoder_digest_of(run))
    write_threshold(url, threshold)
    return url


def check_setting(run: Run, task: str, metric: Metric, radius_um: float) -> None:
    """Refuse what this run's configuration does not have, before any file is read."""
    if task == "retrieval":
        msg = (
            "retrieval takes no labels and no classifier, so there is nothing to fit or predict: "
            "`segclr classify evaluate --task retrieval` judges it"
        )
        raise ConfigError(msg)
    if task not in tasks_of(run):
        msg = f"the run has no labels.{task}s; task {task} needs them"
        raise ConfigError(msg)
    config = run.config.aggregate
    if radius_um > 0 and (metric, radius_um) not in settings(config):
        radii_um = ", ".join(f"{r:g}" for r in config.radii_um if r > 0) or "none"
        msg = (
            f"the run does not aggregate within {radius_um:g} um by {metric} distance; configured are "
            f"radii {radii_um} um (and 0, the node alone) by {', '.join(config.metrics)}"
        )
        raise ConfigError(msg)
    stage_digest(run.url, "aggregate" if radius_um > 0 else "embed")
