"""Stage ``judge`` of a benchmark: classifiers fitted on the training tissue, judged on each test tissue.

One part a question; its rows go to ``evaluation/<question>.parquet``, one a method, setting and test tissue.
Every labelled node of the training tissue is there to learn from and every one of a test tissue to judge by:
they are other tissues, so no cell stands on both sides.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.aggregate import read_aggregated
from pipelines.benchmark import EM_ALONE, MASK_ALONE, Benchmark
from pipelines.blocks import Stage
from pipelines.classifiers import new_classifier
from pipelines.classify import labels_of
from pipelines.features import read_features
from pipelines.records import Outcome
from pipelines.run import TRAINED, UNTRAINED, EmbeddingSet, Run
from pipelines.supervised import read_head
from segclr.aggregate import aggregate
from segclr.classify import (
    AttentionFit,
    LinearClassifier,
    MergeProtocol,
    detection,
    draw_labelled,
    evaluate,
    evaluate_merges,
    fit_attention,
    fit_merge_finder,
    forest_classifier,
    join_labels,
    reliability,
    retrieval,
)
from segclr.classify.estimator import UncertainClassifier
from segclr.config import Metric
from segclr.store.embeddings import EmbeddingTable
from segclr.store.parquet import write_columns

__all__ = ["ENCODERS", "FOREST", "QUESTIONS", "judge_stage"]

ENCODERS = (TRAINED, UNTRAINED, MASK_ALONE, EM_ALONE)
FOREST = "ten features, forest"
_METRIC: Metric = "euclidean"
_MERGE_RADIUS_UM = 25.0
"""Chosen on training cells of the demo: docs/merges.md."""

Row = dict[str, Any]


class Classifier(Protocol):
    """What has learned to answer classes."""

    def predict(self, X: NDArray[np.float32], /) -> NDArray[Any]:
        """The class of each row."""
        ...


def judge_stage(bench: Benchmark, inputs: Mapping[str, str]) -> Stage:
    """One part for each question."""
    return Stage("judge", tuple(QUESTIONS), functools.partial(_judge, bench), inputs)


def _judge(bench: Benchmark, question: str) -> Outcome:
    rows = list(QUESTIONS[question](bench))
    name = f"evaluation/{question}.parquet"
    columns = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    write_columns(bench.top.path(name), columns)
    return Outcome((name,), rows=len(rows))


def _compartments(bench: Benchmark) -> Iterator[Row]:
    """Compartments of single nodes: few labels and all, each method, and supervised networks."""
    task = "compartment"
    training = _labelled(bench.training, task, _table(bench.training, TRAINED))
    tests = {seed: _labelled(run, task, _table(run, TRAINED)) for seed, run in bench.tests.items()}
    n_all = len(training.classes)
    numbers = [n for n in bench.config.n_labels if n < n_all]
    for n in (*numbers, n_all):
        for repeat in range(bench.config.repeats if n < n_all else 1):
            some = training.take(draw_labelled(training.classes, n=n, seed=repeat))
            classifier = _fitted(bench, TRAINED.name, some)
            setting = {"method": TRAINED.name, "n_labels": n, "repeat": repeat}
            yield from _scores(bench, classifier, tests, setting)
    for name, own, others in _lesser(bench, task, radius_um=0):
        classifier = _fitted(bench, name, own)
        yield from _scores(bench, classifier, others, {"method": name, "n_labels": n_all, "repeat": 0})
    for n_labels, which in bench.supervised.items():
        head = read_head(bench.training, "all" if n_labels is None else str(n_labels))
        judged = {seed: _labelled(run, task, _table(run, which)) for seed, run in bench.tests.items()}
        setting = {"method": "supervised", "n_labels": n_labels or n_all, "repeat": 0}
        yield from _scores(bench, head, judged, setting)


def _cell_types(bench: Benchmark) -> Iterator[Row]:
    """Cell types from means within each radius, each method."""
    task = "cell_type"
    for radius_um in (0.0, *(r for r in bench.top.config.aggregate.radii_um if r > 0)):
        training = _labelled(bench.training, task, _table(bench.training, TRAINED, radius_um))
        tests = {
            seed: _labelled(run, task, _table(run, TRAINED, radius_um)) for seed, run in bench.tests.items()
        }
        methods = [(TRAINED.name, training, tests), *_lesser(bench, task, radius_um=radius_um)]
        for name, own, others in methods:
            classifier = _fitted(bench, name, own)
            setting = {"method": name, "pooling": "mean", "radius_um": radius_um}
            yield from _scores(bench, classifier, others, setting)
        if radius_um > 0:
            own, others = _attended(bench, task, radius_um)
            setting = {"method": TRAINED.name, "pooling": "attention", "radius_um": radius_um}
            yield from _scores(bench, _fitted(bench, TRAINED.name, own), others, setting)


def _attended(bench: Benchmark, task: str, radius_um: float) -> tuple[_Labelled, dict[int, _Labelled]]:
    """Training nodes and test nodes of the trained encoder under a pooling learned on the training tissue."""
    table = _table(bench.training, TRAINED)
    pooling = fit_attention(
        table,
        labels_of(bench.training, task, table),
        radius_um=radius_um,
        metric=_METRIC,
        fit=AttentionFit(seed=bench.top.config.seed),
    )

    def pooled(run: Run) -> _Labelled:
        found = aggregate(_table(run, TRAINED), radius_um=radius_um, metric=_METRIC, weighting=pooling)
        return _labelled(run, task, found)

    return pooled(bench.training), {seed: pooled(run) for seed, run in bench.tests.items()}


def _unknown(bench: Benchmark) -> Iterator[Row]:
    """Each cell type in turn is left out of the training, and should be found to be of no known type."""
    task, radius_um = "cell_type", bench.config.unknown_radius_um
    own, *others = (
        _labelled(run, task, _table(run, TRAINED, radius_um))
        for run in (bench.training, *bench.tests.values())
    )
    for left_out in np.unique(own.classes).tolist():
        known = own.take(np.flatnonzero(own.classes != left_out))
        for name, model in _uncertain(bench.top, known):
            for seed, nodes in zip(bench.tests, others, strict=True):
                found = detection(model.uncertainty(nodes.vectors), nodes.classes == left_out)
                yield {
                    "method": name,
                    "left_out": left_out,
                    "test_seed": seed,
                    "auroc": found.auroc,
                    "aupr": found.aupr,
                    "fpr_at_95_tpr": found.fpr_at_95_tpr,
                    "n_unknown": found.n_unknown,
                    "n_known": found.n_known,
                }


def _uncertain(run: Run, known: _Labelled) -> Iterator[tuple[str, UncertainClassifier]]:
    """Fitted classifiers, by what their uncertainty is."""
    rows = known.vectors, known.classes, known.segment_ids
    network = new_classifier(run, "resnet").fit(*rows)
    for uncertainty in ("variance", "dempster_shafer"):
        name = f"Gaussian process, {uncertainty.replace('_', '-')}"
        yield name, network.set_params(uncertainty_from=uncertainty)
    yield "linear, entropy", LinearClassifier(random_state=run.config.seed).fit(*rows)


def _retrieval(bench: Benchmark) -> Iterator[Row]:
    """How often the most similar node elsewhere is of the same cell."""
    for which in ENCODERS:
        for seed, run in bench.tests.items():
            for exclusion_nm in run.config.evaluate.retrieval_exclusion_nm:
                found = retrieval(_table(run, which), exclusion_nm=exclusion_nm, seed=run.config.seed)
                low, high = found.share_interval or (np.nan, np.nan)
                yield {
                    "method": which.name,
                    "exclusion_nm": exclusion_nm,
                    "test_seed": seed,
                    "share": found.share,
                    "low": low,
                    "high": high,
                    "chance": found.chance,
                }


def _calibration(bench: Benchmark) -> Iterator[Row]:
    """How often a cell type is right where a linear classifier is so and so sure; a row a bin."""
    task, radius_um = "cell_type", bench.config.unknown_radius_um
    own, *others = (
        _labelled(run, task, _table(run, TRAINED, radius_um))
        for run in (bench.training, *bench.tests.values())
    )
    for name, calibrate in (("as fitted", False), ("calibrated", True)):
        config = bench.top.config
        model = LinearClassifier(C=config.evaluate.probe_c, calibrate=calibrate, random_state=config.seed)
        model.fit(own.vectors, own.classes, own.segment_ids)
        for seed, nodes in zip(bench.tests, others, strict=True):
            found = reliability(nodes.classes, model.predict_proba(nodes.vectors), model.classes_)
            for b in np.flatnonzero(found.n):
                yield {
                    "method": name,
                    "test_seed": seed,
                    "from": float(found.edges[b]),
                    "to": float(found.edges[b + 1]),
                    "n": int(found.n[b]),
                    "confidence": float(found.confidence[b]),
                    "accuracy": float(found.accuracy[b]),
                    "ece": found.ece,
                }


def _merges(bench: Benchmark) -> Iterator[Row]:
    """How well artificial merges of cells are found, from each encoder's embeddings."""
    for which in ENCODERS:
        own, classes = _cells(bench.training, which)
        finder = fit_merge_finder(
            own, classes, radius_um=_MERGE_RADIUS_UM, penalty=bench.top.config.evaluate.probe_c
        )
        for seed, run in bench.tests.items():
            cells, types = _cells(run, which)
            for found in evaluate_merges(finder, cells, types, MergeProtocol(seed=seed)):
                yield {
                    "method": which.name,
                    "merges": found.kind,
                    "test_seed": seed,
                    "auroc": found.auroc,
                    "size_auroc": found.size_auroc,
                    "matched_auroc": np.nan if found.matched_auroc is None else found.matched_auroc,
                    "at_joint": found.at_joint,
                    "median_error_um": found.median_error_um,
                    "chance_error_um": found.chance_error_um,
                    "n_merged": found.n_merged,
                    "n_unmerged": found.n_unmerged,
                }


def _cells(run: Run, which: EmbeddingSet) -> tuple[EmbeddingTable, NDArray[np.str_]]:
    """Whole labelled cells, with the type of each node."""
    table = _table(run, which)
    joined = join_labels(table, labels_of(run, "cell_type", table))
    return table.take(joined.rows), joined.classes


QUESTIONS: dict[str, Callable[[Benchmark], Iterator[Row]]] = {
    "compartments": _compartments,
    "cell_types": _cell_types,
    "calibration": _calibration,
    "retrieval": _retrieval,
    "merges": _merges,
    "unknown": _unknown,
}
"""What is asked, by the name of its part and file."""


@dataclass(frozen=True)
class _Labelled:
    """Vectors of labelled nodes, their classes and segments."""

    vectors: NDArray[np.float32]
    classes: NDArray[np.str_]
    segment_ids: NDArray[np.uint64]

    def take(self, rows: NDArray[np.int64]) -> _Labelled:
        """Some of them."""
        return _Labelled(self.vectors[rows], self.classes[rows], self.segment_ids[rows])


Methods = Iterator[tuple[str, _Labelled, dict[int, _Labelled]]]


def _lesser(bench: Benchmark, task: str, *, radius_um: float) -> Methods:
    """Name, training nodes and test nodes of each method that the trained encoder is compared with."""
    for which in ENCODERS[1:]:
        own, *others = (
            _labelled(run, task, _table(run, which, radius_um))
            for run in (bench.training, *bench.tests.values())
        )
        yield which.name, own, dict(zip(bench.tests, others, strict=True))
    own, *others = (
        _labelled(run, task, _features(run, radius_um)) for run in (bench.training, *bench.tests.values())
    )
    yield FOREST, own, dict(zip(bench.tests, others, strict=True))


def _table(run: Run, which: EmbeddingSet, radius_um: float = 0.0) -> EmbeddingTable:
    return read_aggregated(run, which, metric=_METRIC, radius_um=radius_um)


def _features(run: Run, radius_um: float) -> EmbeddingTable:
    """The ten features in place of embeddings, averaged as they are."""
    table = _table(run, TRAINED)
    measured = EmbeddingTable(
        segment_ids=table.segment_ids,
        node_ids=table.node_ids,
        points_nm=table.points_nm,
        parents=table.parents,
        embeddings=read_features(run),
    )
    return aggregate(measured, radius_um=radius_um, metric=_METRIC) if radius_um else measured


def _labelled(run: Run, task: str, table: EmbeddingTable) -> _Labelled:
    joined = join_labels(table, labels_of(run, task, table))
    return _Labelled(table.embeddings[joined.rows], joined.classes, table.segment_ids[joined.rows])


def _fitted(bench: Benchmark, method: str, nodes: _Labelled) -> Classifier:
    """What learned from nodes of the training tissue: a linear classifier, or a forest on ten features."""
    config = bench.top.config
    if method == FOREST:
        return forest_classifier(seed=config.seed).fit(nodes.vectors, nodes.classes)
    return LinearClassifier(C=config.evaluate.probe_c).fit(nodes.vectors, nodes.classes)


def _scores(
    bench: Benchmark, classifier: Classifier, tests: Mapping[int, _Labelled], setting: Row
) -> Iterator[Row]:
    """A row for each test tissue: the setting, macro F1 and its interval over cells."""
    for seed, nodes in tests.items():
        judged = evaluate(
            nodes.classes,
            classifier.predict(nodes.vectors),
            groups=nodes.segment_ids,
            seed=bench.top.config.seed,
        )
        low, high = judged.macro_f1_interval or (np.nan, np.nan)
        yield {**setting, "test_seed": seed, "macro_f1": judged.macro_f1, "low": low, "high": high}
