"""Sections of the report on scores: headline figures, probes of each task, retrieval, the closing table."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pipelines.classify import TASKS, tasks_of
from pipelines.run import TRAINED, Run
from segclr import files
from segclr.classify import Evaluation, RetrievalResult
from segclr.view import (
    Illustration,
    Score,
    ScoreCurve,
    Section,
    Table,
    confusion_columns,
    curve_columns,
    figure_confusions,
    figure_f1_against_radius,
    figure_retrieval,
    figure_scores,
    retrieval_columns,
    score_columns,
)

__all__ = [
    "headline_table",
    "highest_scores",
    "probe_section",
    "retrieval_section",
    "score_table",
    "weakest_classes",
]

_TITLES = dict(zip(TASKS, ("Compartments", "Cell types", "Retrieval"), strict=True))
_FOREST = "ten features"
_INTERVAL = "95 % bootstrap interval over held-out cells (segments)"


class _Score(NamedTuple):
    task: str
    method: str
    setting: str
    value: float
    interval: tuple[float, float] | None = None
    n_cells: int | None = None
    is_headline: bool = True

    @property
    def text(self) -> str:
        """Such as 0.70 [0.64, 0.75]."""
        digits = 2 if self.value >= 0.1 else 3
        low_high = "" if self.interval is None else " [{:.{d}f}, {:.{d}f}]".format(*self.interval, d=digits)
        return f"{self.value:.{digits}f}{low_high}"


def score_table(run: Run) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The run's closing table: header and rows of text."""
    header = ("task", "method", "aggregation", "score [95 % interval]", "cells")
    return header, [
        (s.task, s.method, s.setting, s.text, "" if s.n_cells is None else str(s.n_cells))
        for s in _scores(run)
    ]


def headline_table(run: Run) -> Table:
    """Methods beside each other: node alone and the widest radius of each task."""
    lines = _headlines(run)
    methods = list(dict.fromkeys(method for line in lines.values() for method in line))
    rows = [
        (
            *key,
            *(line[m].text if m in line else "–" for m in methods),
            str(max(s.n_cells or 0 for s in line.values())),
        )
        for key, line in lines.items()
    ]
    return Table(
        caption="Macro F1 of linear probes (and of a random forest on ten simple features of the cube), and "
        f"the share of nearest neighbours on the own segment; in brackets the {_INTERVAL}. Chance of a "
        "probe: guessing each class as often as it occurs.",
        header=("task", "aggregation", *methods, "cells"),
        rows=rows,
    )


def highest_scores(run: Run) -> str:
    """The best method of each task without aggregation, in words."""
    best: dict[str, _Score] = {}
    for (task, _), line in _headlines(run).items():
        best.setdefault(task, max(line.values(), key=lambda s: s.value))
    return "; ".join(f"{task}, {s.method} {s.text}" for task, s in best.items())


def weakest_classes(run: Run) -> str:
    """Of each task the class that the trained encoder tells worst, node alone, beside the other methods."""
    found = []
    for task in tasks_of(run):
        if task == "retrieval":
            continue
        rows = files.read_json(run.path("evaluation", f"{task}.json"))
        judged = {r["encoder"]: Evaluation.from_dict(r) for r in rows if r["radius_um"] == 0}
        trained = judged.pop(TRAINED.name)
        worst = int(np.argmin(np.where(trained.support > 0, trained.f1, np.inf)))
        others = ", ".join(f"{name} {e.f1[worst]:.2f}" for name, e in judged.items())
        found.append(f"{trained.labels[worst]} {trained.f1[worst]:.2f} ({others})")
    return "; ".join(found)


def _headlines(run: Run) -> dict[tuple[str, str], dict[str, _Score]]:
    """Scores of each method by (task, setting)."""
    lines: dict[tuple[str, str], dict[str, _Score]] = {}
    for score in _scores(run):
        if score.is_headline:
            lines.setdefault((score.task, score.setting), {})[score.method] = score
    return lines


def _scores(run: Run) -> list[_Score]:
    """All scores of a run, in the order of their files."""
    scores: list[_Score] = []
    for task in tasks_of(run):
        rows = files.read_json(run.path("evaluation", f"{task}.json"))
        if task == "retrieval":
            scores += _retrieval_scores(rows)
            continue
        widest = max(r["radius_um"] for r in rows)
        for row in rows:
            e, ends = Evaluation.from_dict(row), row["radius_um"] in (0, widest)
            where = _TITLES[task], row["encoder"], _setting(row)
            scores.append(_Score(*where, e.macro_f1, e.macro_f1_interval, e.n_cells, ends))
        scores.append(_Score(_TITLES[task], "chance", _setting(rows[0]), _chance(rows[0])))
    return scores


def _chance(row: dict[str, Any]) -> float:
    """Macro F1 of guessing each class as often as it occurs: F1 of a class is its share, their mean 1 / k."""
    return 1 / int(np.count_nonzero(Evaluation.from_dict(row).support))


def _retrieval_scores(rows: list[dict[str, Any]]) -> list[_Score]:
    title, scores, chance = _TITLES["retrieval"], [], {}
    for row in rows:
        r = RetrievalResult.from_dict(row)
        setting = f"beyond {r.exclusion_nm:g} nm"
        scores.append(_Score(title, row["encoder"], setting, r.share, r.share_interval, r.n_query_segments))
        chance[setting] = _Score(title, "chance", setting, r.chance)
    return scores + list(chance.values())


def _setting(row: dict[str, Any]) -> str:
    return f"{row['radius_um']:g} µm {row['metric']}" if row["radius_um"] else "node alone"


def probe_section(run: Run, task: str) -> Section:
    """A task's scores: methods node by node, F1 against radius, confusion matrices."""
    rows = files.read_json(run.path("evaluation", f"{task}.json"))
    title = _TITLES[task]
    single = [r for r in rows if r["radius_um"] == 0]
    judged = {r["encoder"]: Evaluation.from_dict(r) for r in single}
    trained = [r for r in rows if r["encoder"] == TRAINED.name]
    widest = max(trained, key=lambda r: float(r["radius_um"]))
    bars = [
        Score(task=title, method=name, value=e.macro_f1, interval=e.macro_f1_interval)
        for name, e in judged.items()
    ]
    shown = {f"{TRAINED.name}, {_setting(r)}": Evaluation.from_dict(r) for r in (trained[0], widest)}
    figures = [
        Illustration(
            name=f"{task}-methods",
            figure=figure_scores(bars),
            caption=f"Macro F1 on held-out cells, node by node (no aggregation). Error bars: {_INTERVAL}.",
            alt="; ".join(f"{b.method} {b.value:.2f}" for b in bars),
            columns=score_columns(bars),
        ),
        Illustration(
            name=f"{task}-confusion",
            figure=figure_confusions(shown),
            caption="Held-out nodes: rows are true classes (n nodes), columns predicted ones; share of the "
            "row, and below it the number of nodes.",
            alt="confusion matrices",
            columns=confusion_columns(shown),
        ),
    ]
    if widest["radius_um"] > 0:
        figures.insert(1, _radius_figure(task, rows))
    first = next(iter(judged.values()))
    text = (
        f"A linear probe, fitted on {single[0]['n_train']:,} nodes of training cells and judged on "
        f"{first.n:,} nodes of {first.n_cells:,} held-out cells."
    )
    if first.absent:
        text += (
            f" No held-out node is of class {', '.join(first.absent)}: nothing can be said about it (–), and "
            "macro F1 is the mean over the other classes."
        )
    return Section(title=title, paragraphs=[text], tables=[_class_table(title, judged)], figures=figures)


def _class_table(title: str, judged: dict[str, Evaluation]) -> Table:
    """F1 of every class for every method, above it what there is to judge by."""
    first = next(iter(judged.values()))
    cells = [] if first.cells_per_class is None else first.cells_per_class.tolist()
    rows = [
        (
            name,
            _Score("", "", "", e.macro_f1, e.macro_f1_interval).text,
            *np.where(e.support > 0, e.f1, np.nan),
        )
        for name, e in judged.items()
    ]
    return Table(
        caption=f"{title}: F1 on held-out cells, node alone; in brackets the {_INTERVAL}",
        header=("method", "macro F1", *first.labels),
        rows=[
            ("held-out nodes", str(first.n), *first.support.tolist()),
            ("held-out cells", str(first.n_cells), *cells),
            *rows,
        ],
    )


def _radius_figure(task: str, rows: list[dict[str, Any]]) -> Illustration:
    curves = _curves(rows)
    return Illustration(
        name=f"{task}-radius",
        figure=figure_f1_against_radius(curves),
        caption="Macro F1 on held-out cells against the radius within which embeddings are averaged; marks "
        f"are moved aside a little so that none hides another. Error bars: {_INTERVAL}.",
        alt="; ".join(f"{c.name}: {', '.join(f'{s:.2f}' for s in c.score)}" for c in curves),
        columns=curve_columns(curves),
    )


def _curves(rows: list[dict[str, Any]]) -> list[ScoreCurve]:
    curves = []
    for encoder in dict.fromkeys(r["encoder"] for r in rows if r["encoder"] != _FOREST):
        mine = [r for r in rows if r["encoder"] == encoder]
        for metric in dict.fromkeys(r["metric"] for r in mine if r["radius_um"] > 0):
            same = [r for r in mine if r["metric"] == metric or r["radius_um"] == 0]
            points = {r["radius_um"]: Evaluation.from_dict(r) for r in same}
            radii_um = sorted(points)
            curves.append(
                ScoreCurve(
                    name=f"{encoder}, {metric}",
                    radius_um=radii_um,
                    score=[points[r].macro_f1 for r in radii_um],
                    intervals=[points[r].macro_f1_interval for r in radii_um],
                    is_baseline=encoder != TRAINED.name,
                )
            )
    return curves


def retrieval_section(run: Run) -> Section:
    """Nearest neighbours on the own segment, beside chance."""
    results: dict[str, list[RetrievalResult]] = {}
    for row in files.read_json(run.path("evaluation/retrieval.json")):
        results.setdefault(row["encoder"], []).append(RetrievalResult.from_dict(row))
    first = results[TRAINED.name][0]
    figure = Illustration(
        name="retrieval",
        figure=figure_retrieval(results),
        caption="For each node of held-out segments: is the most similar node, leaving out those nearer than "
        "the exclusion distance, on the same segment? Chance is a random pick among the same candidates. "
        "Error bars: 95 % bootstrap interval over the segments of the queries.",
        alt="; ".join(f"{k} {r.share:.2f} (chance {r.chance:.2f})" for k, rs in results.items() for r in rs),
        columns=retrieval_columns(results),
    )
    text = f"{first.n_queries:,} queries on {first.n_query_segments:,} held-out segments."
    return Section(title="Retrieval on held-out segments", paragraphs=[text], figures=[figure])
