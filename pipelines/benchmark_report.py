"""Stage ``report`` of a benchmark: what the methods reached on test tissues, as one page."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import yaml

from pipelines.benchmark import Benchmark
from pipelines.benchmark_rows import (
    SUPERVISED,
    benchmark_table,
    labels_to_reach,
    mean_text,
    pooled,
    read_rows,
    rows_by,
    score_lines,
    types_radius_um,
)
from pipelines.blocks import Stage
from pipelines.records import Outcome, stage_digest
from pipelines.run import TRAINED, Run
from segclr._version import __version__
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

__all__ = ["benchmark_report_stage"]

_OVER = "Points: mean over test tissues; bars: lowest and highest of them"
_FEWEST_IN_BIN = 10
"""Nodes behind a point of the reliability diagram: the share of right answers among fewer is no share."""


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
    rows = [(*line[:3], mean_text(line.of_tissues)) for line in score_lines(top)]
    header = ("question", "setting", "method", "mean [lowest, highest] over test tissues")
    return Section(title="All scores", tables=[Table(caption="Every method.", header=header, rows=rows)])


def _label_section(top: Run) -> Section:
    rows = read_rows(top, "compartments")
    n_all = int(rows["n_labels"].max())
    curves = []
    for name, title in ((TRAINED.name, "linear, trained encoder"), (SUPERVISED, "supervised network")):
        of_number = {
            int(n): found["macro_f1"].tolist()
            for n, found in rows_by(rows[rows["method"] == name].sort_values("n_labels"), "n_labels")
        }
        curves.append(LabelCurve(name=title, n_labels=list(of_number), scores=list(of_number.values())))
    for name in dict.fromkeys(rows["method"]):
        if name not in (TRAINED.name, SUPERVISED):
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
    rows = read_rows(top, "cell_types")
    curves = []
    for (method, pooling), of_method in rows_by(rows, "method", "pooling"):
        at = {r: found["macro_f1"] for r, found in rows_by(of_method, "radius_um")}
        curves.append(
            ScoreCurve(
                name=pooled(method, pooling),
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
    rows = read_rows(top, "retrieval")
    bars = []
    for beyond_nm, of_distance in rows_by(rows, "exclusion_nm"):
        task = f"neighbours ≥ {beyond_nm:g} nm away"
        bars.append(Score(task=task, method="chance", value=float(of_distance["chance"].mean())))
        for method, found in rows_by(of_distance, "method"):
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
    rows = read_rows(top, "merges")
    found = rows[rows["merges"] == "all"]
    bars = [
        Score(
            task=task,
            method=method,
            value=float(of_method[column].mean()),
            interval=(float(of_method[column].min()), float(of_method[column].max())),
        )
        for method, of_method in rows_by(found, "method")
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
            for (method, merges), of_kind in rows_by(rows, "method", "merges")
        ],
    )
    return Section(title="Merge errors", tables=[table], figures=[figure])


def _calibration_section(top: Run) -> Section:
    rows = read_rows(top, "calibration")
    curves, told = {}, []
    for method, found in rows_by(rows, "method"):
        of_bin = found.assign(
            sure=found["confidence"] * found["n"], right=found["accuracy"] * found["n"]
        ).groupby("from")[["n", "sure", "right"]]
        sums = of_bin.sum().query(f"n >= {_FEWEST_IN_BIN}")
        n = sums["n"]
        curves[str(method)] = ((sums["sure"] / n).tolist(), (sums["right"] / n).tolist())
        told.append(f"{method} {mean_text(found.groupby('test_seed')['ece'].first())}")
    figure = Illustration(
        name="calibration",
        figure=figure_reliability(curves),
        caption=f"Cell types within {types_radius_um(top):g} µm, linear classifier: share of right answers "
        "where it is so and so sure, nodes of all test tissues, in bins of "
        f"{_FEWEST_IN_BIN} nodes or more; dashed: probabilities are right. Expected "
        f"calibration error: {'; '.join(told)}.",
        alt=f"expected calibration error: {'; '.join(told)}",
        columns={name: rows[name].tolist() for name in map(str, rows)},
    )
    return Section(title="Calibration", figures=[figure])


def _unknown_section(top: Run) -> Section:
    rows = read_rows(top, "unknown")
    bars = [
        Score(
            task=left_out,
            method=method,
            value=float(found["auroc"].mean()),
            interval=(float(found["auroc"].min()), float(found["auroc"].max())),
        )
        for (method, left_out), found in rows_by(rows, "method", "left_out")
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
            for (method, left_out), found in rows_by(rows, "method", "left_out")
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
