"""Stage ``report`` of a benchmark: what the methods reached on test tissues, as one page."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import pandas as pd
import yaml

from pipelines.benchmark import Benchmark
from pipelines.blocks import Stage
from pipelines.records import Outcome, stage_digest
from pipelines.run import TRAINED, Run
from segclr._version import __version__
from segclr.store.parquet import read_columns
from segclr.view import (
    Illustration,
    LabelCurve,
    Score,
    ScoreCurve,
    Section,
    Table,
    curve_columns,
    figure_f1_against_radius,
    figure_label_efficiency,
    figure_reliability,
    figure_scores,
    label_columns,
    score_columns,
    write_report,
)

__all__ = ["benchmark_report_stage", "benchmark_table", "labels_to_reach"]

_OVER = "Points: mean over test tissues; bars: lowest and highest of them"
_SUPERVISED = "supervised"


def benchmark_report_stage(bench: Benchmark) -> Stage:
    """One part: the page."""
    inputs = {"judge": stage_digest(bench.top.url, "judge")}
    return Stage("report", ("index",), functools.partial(_write, bench), inputs, alone=True)


def _write(bench: Benchmark, _part: str) -> Outcome:
    config = bench.top.config
    assert config.tissue is not None
    sections = [_summary(bench.top), *(make(bench.top) for make in _SECTIONS.values())]
    facts = {
        "trained on": f"{config.tissue.n_blocks} blocks of made tissue, seed {config.seed}",
        "judged on": f"{len(bench.tests)} other tissues of {bench.config.test_blocks} blocks, seeds "
        f"{', '.join(map(str, bench.tests))}",
        "training": f"{config.train.steps:,} steps of {config.train.batch_pairs:,} pairs",
        "cube": f"{config.cubes.size_vx} voxels on a side",
        "segclr": __version__,
    }
    write_report(
        bench.top.path("report/index.html"),
        title=f"SegCLR: {config.name}",
        sections=sections,
        facts=facts,
        configuration=yaml.safe_dump(
            config.model_dump(mode="json", exclude={"run", "cluster"}), sort_keys=False
        ),
    )
    return Outcome(("report/index.html",), rows=len(sections))


def _read(top: Run, question: str) -> pd.DataFrame:
    columns = read_columns(top.path(f"evaluation/{question}.parquet"))
    return pd.DataFrame({name: column.tolist() for name, column in columns.items()})


def _by(frame: pd.DataFrame, *names: str) -> Iterator[tuple[Any, pd.DataFrame]]:
    """Rows of each value of one column, or each tuple of values of several, in order of appearance."""
    yield from frame.groupby(names[0] if len(names) == 1 else list(names), sort=False)


def _text(values: pd.Series) -> str:
    """Mean over test tissues with the lowest and highest of them, such as 0.91 [0.88, 0.94]."""
    return f"{values.mean():.3f} [{values.min():.3f}, {values.max():.3f}]"


class _Line(NamedTuple):
    """One method's score in one setting, a value for each test tissue."""

    question: str
    setting: str
    method: str
    of_tissues: pd.Series


def _lines(top: Run) -> Iterator[_Line]:
    """All scores of a benchmark."""
    for (method, n), found in _by(_read(top, "compartments"), "method", "n_labels"):
        yield _Line("compartments", f"{n:,} labels", method, _of_tissues(found, "macro_f1"))
    types = _read(top, "cell_types")
    for (radius_um, method, pooling), found in _by(types, "radius_um", "method", "pooling"):
        yield _Line(
            "cell types", _within(radius_um), _pooled(method, pooling), _of_tissues(found, "macro_f1")
        )
    for method, found in _by(_read(top, "calibration"), "method"):
        error = found.groupby("test_seed")["ece"].first()
        yield _Line(f"calibration error of types {_within(_radius_um(top))}", "linear", method, error)
    for method, found in _by(_read(top, "unknown"), "method"):
        yield _Line("a type never seen (AUROC)", "mean of types", method, _of_tissues(found, "auroc"))
    for (merges, method), found in _by(_read(top, "merges"), "merges", "method"):
        question = f"merges, {merges} (AUROC)"
        yield _Line(question, "any size", method, _of_tissues(found, "auroc"))
        yield _Line(question, "about equal size", method, _of_tissues(found, "matched_auroc"))
    for (beyond_nm, method), found in _by(_read(top, "retrieval"), "exclusion_nm", "method"):
        yield _Line("retrieval", f"beyond {beyond_nm:g} nm", method, _of_tissues(found, "share"))


def benchmark_table(top: Run) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The closing table of a benchmark: header and rows of text, means over test tissues by method."""
    lines = [line for line in _lines(top) if line.question in _COMPARED]
    methods = list(dict.fromkeys(line.method for line in lines))
    means = {(line.question, line.setting, line.method): line.of_tissues.mean() for line in lines}
    settings = list(dict.fromkeys((line.question, line.setting) for line in lines))
    rows = [
        (*setting, *(f"{means[*setting, m]:.2f}" if (*setting, m) in means else "–" for m in methods))
        for setting in settings
    ]
    return ("question", "setting", *methods), rows


_COMPARED = ("compartments", "cell types", "merges, all (AUROC)", "retrieval")


def _of_tissues(found: pd.DataFrame, column: str) -> pd.Series:
    """Mean of a column on each test tissue, over the draws of labels."""
    return found.groupby("test_seed")[column].mean()


def _pooled(method: str, pooling: str) -> str:
    return method if pooling == "mean" else f"{method}, {pooling}"


def _within(radius_um: float) -> str:
    return f"within {radius_um:g} µm" if radius_um else "node alone"


def labels_to_reach(compartments: pd.DataFrame, n_supervised: int | None = None) -> tuple[int | None, int]:
    """How few labels a linear classifier needs to reach a supervised network.

    Args:
        compartments: rows of ``evaluation/compartments.parquet``.
        n_supervised: labels of the network; None: the one with the most.

    Returns:
        The smallest number of labels whose mean score reaches the network's, None where none does, and the
        network's own number of labels.
    """
    means = compartments.groupby(["method", "n_labels"])["macro_f1"].mean()
    networks = means[_SUPERVISED]
    n = int(networks.index.max() if n_supervised is None else n_supervised)
    enough = means[TRAINED.name][means[TRAINED.name] >= networks[n]]
    return (int(enough.index.min()) if len(enough) else None), n


def _summary(top: Run) -> Section:
    header, rows = benchmark_table(top)
    text = (
        "Encoders and classifiers learned from the training tissue; every score is on other tissues, whose "
        "cells none of them has seen. Made tissue is no cortex: scores compare methods and say nothing of "
        "what they would be on real EM."
    )
    caption = "Mean over test tissues: macro F1, area under the ROC curve, or share retrieved."
    table = Table(caption=caption, header=header, rows=rows)
    return Section(title="Summary", paragraphs=[text], tables=[table])


def _all_section(top: Run) -> Section:
    rows = [(*line[:3], _text(line.of_tissues)) for line in _lines(top)]
    header = ("question", "setting", "method", "mean [lowest, highest] over test tissues")
    return Section(title="All scores", tables=[Table(caption="Every method.", header=header, rows=rows)])


def _label_section(top: Run) -> Section:
    rows = _read(top, "compartments")
    n_all = int(rows["n_labels"].max())
    curves = []
    for name, title in ((TRAINED.name, "linear, trained encoder"), (_SUPERVISED, "supervised network")):
        of_number = {
            int(n): found["macro_f1"].tolist()
            for n, found in _by(rows[rows["method"] == name].sort_values("n_labels"), "n_labels")
        }
        curves.append(LabelCurve(name=title, n_labels=list(of_number), scores=list(of_number.values())))
    for name in dict.fromkeys(rows["method"]):
        if name not in (TRAINED.name, _SUPERVISED):
            scores = rows[rows["method"] == name]["macro_f1"].tolist()
            curves.append(
                LabelCurve(name=f"{name}, all labels", n_labels=[n_all], scores=[scores], is_baseline=True)
            )
    needed, n_supervised = labels_to_reach(rows)
    told = (
        f"A linear classifier on {needed:,} labelled nodes reaches the supervised network on "
        f"{n_supervised:,}: {n_supervised / needed:.1f} times fewer labels."
        if needed
        else f"A linear classifier does not reach the supervised network on {n_supervised:,} labels."
    )
    figure = Illustration(
        name="labels",
        figure=figure_label_efficiency(curves),
        caption=f"Compartments of single nodes. {told} {_OVER} and of the draws of labels. Grey lines: other "
        "encoders and the forest, on all labels.",
        alt=told,
        columns=label_columns(curves),
    )
    return Section(title="Compartments from few labels", figures=[figure])


def _radius_section(top: Run) -> Section:
    rows = _read(top, "cell_types")
    curves = []
    for (method, pooling), of_method in _by(rows, "method", "pooling"):
        at = {r: found["macro_f1"] for r, found in _by(of_method, "radius_um")}
        curves.append(
            ScoreCurve(
                name=_pooled(method, pooling),
                radius_um=list(at),
                score=[float(v.mean()) for v in at.values()],
                intervals=[(float(v.min()), float(v.max())) for v in at.values()],
            )
        )
    figure = Illustration(
        name="cell-types",
        figure=figure_f1_against_radius(curves),
        caption="Cell type of single nodes from the mean of all vectors within a radius; attention: from a "
        f"mean with learned weights. {_OVER}.",
        alt="; ".join(f"{c.name} {max(c.score):.2f} at most" for c in curves),
        columns=curve_columns(curves),
    )
    return Section(title="Cell types and the radius of aggregation", figures=[figure])


def _retrieval_section(top: Run) -> Section:
    rows = _read(top, "retrieval")
    bars = []
    for beyond_nm, of_distance in _by(rows, "exclusion_nm"):
        task = f"neighbours ≥ {beyond_nm:g} nm away"
        bars.append(Score(task=task, method="chance", value=float(of_distance["chance"].mean())))
        for method, found in _by(of_distance, "method"):
            share = found["share"]
            bars.append(
                Score(
                    task=task,
                    method=method,
                    value=float(share.mean()),
                    interval=(float(share.min()), float(share.max())),
                )
            )
    figure = Illustration(
        name="retrieval",
        figure=figure_scores(bars, ylabel="nearest neighbour on own segment (share)"),
        caption=f"Share of nodes whose most similar node elsewhere is of the same cell. {_OVER}.",
        alt="; ".join(f"{b.method} {b.value:.3f}" for b in bars),
        columns=score_columns(bars),
    )
    return Section(title="Retrieval", figures=[figure])


def _merge_section(top: Run) -> Section:
    rows = _read(top, "merges")
    found = rows[rows["merges"] == "all"]
    bars = [
        Score(
            task=task,
            method=method,
            value=float(of_method[column].mean()),
            interval=(float(of_method[column].min()), float(of_method[column].max())),
        )
        for method, of_method in _by(found, "method")
        for task, column in (("all pairs", "auroc"), ("pairs of about equal size", "matched_auroc"))
    ]
    sizes = found["size_auroc"]
    bars.insert(0, Score(task="all pairs", method="number of nodes", value=float(sizes.mean())))
    figure = Illustration(
        name="merges",
        figure=figure_scores(bars, ylabel="AUROC"),
        caption="How often a merge of two cells scores higher than one cell (0.5: no better than chance). "
        "Merges are larger than cells, which alone tells much: judge by pairs of about equal size. "
        f"{_OVER}.",
        alt="; ".join(f"{b.method}, {b.task} {b.value:.2f}" for b in bars),
        columns=score_columns(bars),
    )
    columns = ("at_joint", "median_error_um", "chance_error_um", "n_merged", "n_unmerged")
    table = Table(
        caption="Where the highest edge is: share of merges where it is the joint, median path from it "
        "to the joint, and from an edge drawn at random (um); mean over test tissues.",
        header=("method", "merges", *(c.replace("_", " ") for c in columns)),
        rows=[
            (
                str(method),
                str(merges),
                *(float(of_kind[c].mean()) for c in columns[:3]),
                *(round(float(of_kind[c].mean())) for c in columns[3:]),
            )
            for (method, merges), of_kind in _by(rows, "method", "merges")
        ],
    )
    return Section(title="Merge errors", tables=[table], figures=[figure])


def _calibration_section(top: Run) -> Section:
    rows = _read(top, "calibration")
    curves, told = {}, []
    for method, found in _by(rows, "method"):
        of_bin = found.assign(
            sure=found["confidence"] * found["n"], right=found["accuracy"] * found["n"]
        ).groupby("from")[["n", "sure", "right"]]
        sums = of_bin.sum()
        n = sums["n"]
        curves[str(method)] = ((sums["sure"] / n).tolist(), (sums["right"] / n).tolist())
        told.append(f"{method} {_text(found.groupby('test_seed')['ece'].first())}")
    figure = Illustration(
        name="calibration",
        figure=figure_reliability(curves),
        caption=f"Cell types within {_radius_um(top):g} µm, linear classifier: share of right answers where "
        "it is so and so sure, nodes of all test tissues; dashed: probabilities are right. Expected "
        f"calibration error: {'; '.join(told)}.",
        alt=f"expected calibration error: {'; '.join(told)}",
        columns={name: rows[name].tolist() for name in map(str, rows)},
    )
    return Section(title="Calibration", figures=[figure])


def _radius_um(top: Run) -> float:
    assert top.config.benchmark is not None
    return top.config.benchmark.unknown_radius_um


def _unknown_section(top: Run) -> Section:
    rows = _read(top, "unknown")
    bars = [
        Score(
            task=left_out,
            method=method,
            value=float(found["auroc"].mean()),
            interval=(float(found["auroc"].min()), float(found["auroc"].max())),
        )
        for (method, left_out), found in _by(rows, "method", "left_out")
    ]
    figure = Illustration(
        name="unknown",
        figure=figure_scores(bars, ylabel="AUROC"),
        caption="A cell type is left out of the training of a classifier: how often a node of it is less "
        f"certain than a node of a known type (0.5: no better than chance). {_OVER}.",
        alt="; ".join(f"{b.task}, {b.method} {b.value:.2f}" for b in bars),
        columns=score_columns(bars),
    )
    table = Table(
        caption="Area under precision and recall, and share of known nodes that are taken for unknown where "
        "95 % of the unknown are found; mean over test tissues.",
        header=("method", "left out", "AUPR", "false positives at 95 %", "unknown nodes", "known nodes"),
        rows=[
            (
                str(method),
                str(left_out),
                *(float(found[c].mean()) for c in ("aupr", "fpr_at_95_tpr")),
                *(round(float(found[c].mean())) for c in ("n_unknown", "n_known")),
            )
            for (method, left_out), found in _by(rows, "method", "left_out")
        ],
    )
    return Section(title="Types that were never seen", tables=[table], figures=[figure])


_SECTIONS: Mapping[str, Callable[[Run], Section]] = {
    "compartments": _label_section,
    "cell_types": _radius_section,
    "calibration": _calibration_section,
    "retrieval": _retrieval_section,
    "merges": _merge_section,
    "unknown": _unknown_section,
    "all": _all_section,
}
