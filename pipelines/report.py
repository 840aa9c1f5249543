"""Stage ``report``: what a run found, as one page with figures and the numbers behind them."""

from __future__ import annotations

import functools
import io
from typing import Any

import numpy as np
import pandas as pd
import yaml

from pipelines.aggregate import read_aggregated
from pipelines.blocks import Stage
from pipelines.classify import encoders_of, node_classes, tasks_of
from pipelines.nodes import read_nodes
from pipelines.records import Outcome, stage_digest
from pipelines.run import TRAINED, Run
from segclr import files
from segclr._version import __version__
from segclr.classify import Evaluation, RetrievalResult
from segclr.data.cubes import cut_cubes
from segclr.data.nodes import NodeTable
from segclr.explore import project
from segclr.geometry import BoundingBox, voxels_of_points
from segclr.view import (
    Illustration,
    Score,
    ScoreCurve,
    Section,
    SliceView,
    Table,
    TrainingCurve,
    confusion_columns,
    curve_columns,
    embedding_columns,
    figure_confusions,
    figure_cubes,
    figure_embedding,
    figure_f1_against_radius,
    figure_retrieval,
    figure_scores,
    figure_slices,
    figure_training,
    retrieval_columns,
    score_columns,
    training_columns,
    write_report,
)

__all__ = ["report_stage", "score_table"]

_N_EXAMPLES = 6
_MOST_POINTS = 4000
_TASK_TITLES = {"compartment": "Compartments", "cell_type": "Cell types"}


def report_stage(run: Run) -> Stage:
    """One part: the page."""
    inputs = {name: stage_digest(run.url, name) for name in ("nodes", "train", "evaluate")}
    return Stage("report", ("index",), functools.partial(_write, run), inputs, alone=True)


def _write(run: Run, _part: str) -> Outcome:
    nodes = read_nodes(run)
    sections = [_tissue_section(run, nodes), _training_section(run), _embedding_section(run)]
    sections += [_probe_section(run, task) for task in tasks_of(run) if task != "retrieval"]
    sections.append(_retrieval_section(run))
    config = run.config
    facts = {
        "nodes": f"{len(nodes):,} on {len(np.unique(nodes.segment_ids)):,} segments",
        "voxel size (x, y, z)": " x ".join(f"{v:g}" for v in run.volume.voxel_size_nm) + " nm",
        "cube": f"{config.cubes.size_vx} voxels on a side",
        "encoder": f"ResNet-{config.encoder.depth} x {config.encoder.width:g}, {config.train.steps} steps",
        "seed": str(config.seed),
        "segclr": __version__,
    }
    write_report(
        run.path("report/index.html"),
        title=f"SegCLR run: {config.name}",
        sections=sections,
        facts=facts,
        configuration=yaml.safe_dump(
            config.model_dump(mode="json", exclude={"run", "cluster"}), sort_keys=False
        ),
    )
    return Outcome(("report/index.html",), rows=len(sections))


def _tissue_section(run: Run, nodes: NodeTable) -> Section:
    em, segmentation = run.open_volumes()
    random = np.random.default_rng([run.config.seed, 0xF16])
    task = next((t for t in tasks_of(run) if t != "retrieval"), None)
    classes = node_classes(run, task, nodes) if task else np.full(len(nodes), "")
    rows = _one_of_each(classes, random)
    size = run.config.cubes.size_vx
    half = tuple(int(1.5 * size) for _ in range(2))
    views = []
    for row in rows:
        x, y, z = voxels_of_points(nodes.points_nm[row], em.voxel_size_nm)[0].tolist()
        box = BoundingBox((x - half[0], y - half[1], z), (x + half[0], y + half[1], z + 1))
        mask = segmentation.read(box)[0] == nodes.segment_ids[row]
        title = f"{classes[row]} {str(nodes.segment_ids[row])[-6:]}".strip()
        views.append(SliceView(em.read(box)[0], mask, em.voxel_size_nm[:2], title))
    cubes = cut_cubes(em, segmentation, nodes.points_nm[rows], nodes.segment_ids[rows], size_vx=size)
    occupancy = (cubes > 0).mean(axis=(1, 2, 3))
    numbers = {
        "segment_id": [str(i) for i in nodes.segment_ids[rows]],
        "node_id": nodes.node_ids[rows].tolist(),
        "x_nm": nodes.points_nm[rows, 0].tolist(),
        "y_nm": nodes.points_nm[rows, 1].tolist(),
        "z_nm": nodes.points_nm[rows, 2].tolist(),
        "occupancy": occupancy.tolist(),
    }
    places = Illustration(
        name="places",
        figure=figure_slices(views),
        caption="EM around some nodes in the xy plane; the node's own segment is tinted.",
        alt=f"{len(rows)} EM slices with one segment tinted in each",
        columns=numbers,
    )
    masked = Illustration(
        name="cubes",
        figure=figure_cubes(cubes, voxel_size_nm=em.voxel_size_nm, titles=[v.title for v in views]),
        caption="The encoder's input at these nodes: central slices of the cubes, masked to the segment.",
        alt="central slices of the masked cubes in three planes",
        columns=numbers,
    )
    made = " The tissue is made, not real EM." if run.config.volume is None else ""
    text = f"{em.bounds.size} voxels (x, y, z), read as {run.volume.em.rsplit('/', 1)[-1]}.{made}"
    return Section(title="Volume and cubes", paragraphs=[text], figures=[places, masked])


def _one_of_each(classes: np.ndarray[Any, Any], random: np.random.Generator) -> list[int]:
    """A few rows that show every class."""
    names = np.unique(classes)
    order = random.permutation(len(classes))
    chosen = [int(order[classes[order] == name][0]) for name in names][:_N_EXAMPLES]
    rest = [int(i) for i in order if int(i) not in chosen]
    return chosen + rest[: max(0, _N_EXAMPLES - len(chosen))]


def _training_section(run: Run) -> Section:
    history = pd.read_csv(io.BytesIO(files.read_bytes(run.path("training/history.csv"))))
    n_views = 2 * min(run.config.train.validation_pairs, _n_held_out_pairs(run))
    logged = history.dropna(subset=["loss"])
    judged = history.dropna(subset=["top1"])
    curve = TrainingCurve(
        steps=logged["step"].to_numpy(),
        loss=logged["loss"].to_numpy(),
        validation_steps=judged["step"].to_numpy(),
        top1=judged["top1"].to_numpy(),
        effective_rank=judged["effective_rank"].to_numpy(),
        chance_top1=1 / (n_views - 1),
        embedding_dim=run.config.encoder.embedding_dim,
    )
    figure = Illustration(
        name="training",
        figure=figure_training(curve),
        caption="Loss of the training pairs; on held-out cells, how often a view's nearest other view is its "
        "partner, and the effective rank of the embeddings (1 would be collapse).",
        alt="training loss, held-out pair accuracy and effective rank over the steps",
        columns=training_columns(curve),
    )
    return Section(title="Training", figures=[figure])


def _n_held_out_pairs(run: Run) -> int:
    description = files.read_json(run.path("encoder", "config.json"))
    return int(description["training"]["n_held_out_pairs"])


def _embedding_section(run: Run) -> Section:
    nodes = read_nodes(run)
    random = np.random.default_rng([run.config.seed, 0x5CA7])
    rows = np.sort(random.permutation(len(nodes))[:_MOST_POINTS])
    projections = {}
    for which in encoders_of(run):
        table = read_aggregated(run, which, metric="euclidean", radius_um=0)
        projections[which.name] = project(table.embeddings[rows], seed=run.config.seed)
    task = next((t for t in tasks_of(run) if t != "retrieval"), None)
    classes = node_classes(run, task, nodes)[rows] if task else _largest_segments(nodes.segment_ids[rows])
    figure = Illustration(
        name="embeddings",
        figure=figure_embedding(projections, classes=classes),
        caption="First two principal components of the nodes' embeddings"
        + ("." if task else "; the largest segments are coloured."),
        alt="scatter of embeddings, one panel an encoder, coloured by class",
        columns=embedding_columns(projections, classes=classes),
    )
    return Section(title="Embeddings", figures=[figure])


def _largest_segments(ids: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    unique, counts = np.unique(ids, return_counts=True)
    largest = set(unique[np.argsort(-counts, kind="stable")][:6].tolist())
    return np.array([str(i) if i in largest else "other" for i in ids.tolist()])


def _probe_section(run: Run, task: str) -> Section:
    rows = files.read_json(run.path("evaluation", f"{task}.json"))
    title = _TASK_TITLES[task]
    single = [r for r in rows if r["radius_um"] == 0]
    trained = [r for r in rows if r["encoder"] == TRAINED.name]
    widest = max(trained, key=lambda r: float(r["radius_um"]))
    bars = [Score(task=title, method=r["encoder"], value=r["macro_f1"]) for r in single]
    curves = _curves(rows)
    shown = {"trained, node alone": _evaluation(next(r for r in trained if r["radius_um"] == 0))}
    if widest["radius_um"] > 0:
        shown[f"trained, {widest['metric']} {widest['radius_um']:g} um"] = _evaluation(widest)
    figures = [
        Illustration(
            name=f"{task}-methods",
            figure=figure_scores(bars),
            caption="Macro F1 on held-out cells, node by node, without aggregation.",
            alt="; ".join(f"{b.method} {b.value:.2f}" for b in bars),
            columns=score_columns(bars),
        ),
        Illustration(
            name=f"{task}-confusion",
            figure=figure_confusions(shown),
            caption="Held-out nodes: rows are true classes, columns predicted ones; share of the row.",
            alt="confusion matrices",
            columns=confusion_columns(shown),
        ),
    ]
    if len({r["radius_um"] for r in rows}) > 1:
        figures.insert(
            1,
            Illustration(
                name=f"{task}-radius",
                figure=figure_f1_against_radius(curves),
                caption="Macro F1 on held-out cells against the radius within which embeddings are averaged.",
                alt="; ".join(f"{c.name}: {', '.join(f'{s:.2f}' for s in c.score)}" for c in curves),
                columns=curve_columns(curves),
            ),
        )
    names = single[0]["labels"]
    per_class = Table(
        caption=f"{title}: F1 for each class on held-out cells, node alone",
        header=("method", "macro F1", *names),
        rows=[(r["encoder"], r["macro_f1"], *_by_label(r, names)) for r in single],
    )
    text = f"A linear probe, fitted on {single[0]['n_train']:,} nodes of training cells."
    return Section(title=title, paragraphs=[text], tables=[per_class], figures=figures)


def _by_label(row: dict[str, Any], names: list[str]) -> list[float]:
    scores = dict(zip(row["labels"], row["f1"], strict=True))
    return [scores.get(name, 0.0) for name in names]


def _curves(rows: list[dict[str, Any]]) -> list[ScoreCurve]:
    curves = []
    for encoder in dict.fromkeys(r["encoder"] for r in rows if r["encoder"] != "ten features"):
        mine = [r for r in rows if r["encoder"] == encoder]
        for metric in dict.fromkeys(r["metric"] for r in mine if r["radius_um"] > 0):
            points = sorted(
                {
                    r["radius_um"]: r["macro_f1"]
                    for r in mine
                    if r["metric"] == metric or r["radius_um"] == 0
                }.items()
            )
            curves.append(
                ScoreCurve(
                    name=f"{encoder}, {metric}",
                    radius_um=[p for p, _ in points],
                    score=[s for _, s in points],
                    is_baseline=encoder != TRAINED.name,
                )
            )
    return curves


def _evaluation(row: dict[str, Any]) -> Evaluation:
    return Evaluation(
        labels=tuple(row["labels"]),
        macro_f1=row["macro_f1"],
        n=row["n"],
        **{k: np.array(row[k]) for k in ("confusion", "unknown", "precision", "recall", "f1")},
    )


def _retrieval_section(run: Run) -> Section:
    results: dict[str, list[RetrievalResult]] = {}
    for row in files.read_json(run.path("evaluation/retrieval.json")):
        fields = {k: v for k, v in row.items() if k in RetrievalResult.__dataclass_fields__}
        results.setdefault(row["encoder"], []).append(RetrievalResult(**fields))
    figure = Illustration(
        name="retrieval",
        figure=figure_retrieval(results),
        caption="For each node of held-out segments: is the most similar node, leaving out those nearer than "
        "the exclusion distance, on the same segment? Chance is a random pick among the same candidates.",
        alt="; ".join(f"{k} {r.share:.2f} (chance {r.chance:.2f})" for k, rs in results.items() for r in rs),
        columns=retrieval_columns(results),
    )
    return Section(title="Retrieval on held-out segments", figures=[figure])


def score_table(run: Run) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The run's closing table: header and rows of text."""
    header = ("task", "method", "aggregation", "score")
    rows: list[tuple[str, ...]] = []
    for task in tasks_of(run):
        for r in files.read_json(run.path("evaluation", f"{task}.json")):
            if task == "retrieval":
                rows.append(
                    ("retrieval", r["encoder"], f"beyond {r['exclusion_nm']:g} nm", f"{r['share']:.3f}")
                )
            else:
                where = f"{r['radius_um']:g} um {r['metric']}" if r["radius_um"] else "node alone"
                rows.append((_TASK_TITLES[task], r["encoder"], where, f"{r['macro_f1']:.3f}"))
    chance = files.read_json(run.path("evaluation/retrieval.json"))[0]
    rows.append(("retrieval", "chance", f"beyond {chance['exclusion_nm']:g} nm", f"{chance['chance']:.3f}"))
    return header, rows
