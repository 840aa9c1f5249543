"""Stage ``report``: what a run found, as one page with figures and the numbers behind them."""

from __future__ import annotations

import functools

import numpy as np
import yaml

from pipelines.blocks import Stage
from pipelines.classify import tasks_of
from pipelines.nodes import nodes_left
from pipelines.pairs import held_out_segments
from pipelines.records import Outcome, stage_digest
from pipelines.report_data import collapse_warnings, embedding_section, tissue_section
from pipelines.report_scores import (
    headline_table,
    highest_scores,
    probe_section,
    retrieval_section,
    score_table,
    weakest_classes,
)
from pipelines.report_training import training_section
from pipelines.report_work import work_section
from pipelines.run import Run
from segclr._version import __version__
from segclr.data.nodes import NodeTable
from segclr.view import Section, write_report

__all__ = ["page_facts", "report_stage", "score_table", "shown_configuration"]


def report_stage(run: Run) -> Stage:
    """One part: the page."""
    inputs = {name: stage_digest(run.url, name) for name in ("nodes", "train", "evaluate")}
    return Stage("report", ("index",), functools.partial(_write, run), inputs, alone=True)


def _write(run: Run, _part: str) -> Outcome:
    nodes = nodes_left(run)
    sections = [
        _summary_section(run),
        tissue_section(run, nodes),
        *([training_section(run)] if run.config.trains else []),
        embedding_section(run, nodes),
        *(probe_section(run, task) for task in tasks_of(run) if task != "retrieval"),
        retrieval_section(run),
        work_section(run, without=("report",)),
    ]
    write_report(
        run.path("report/index.html"),
        title=f"SegCLR run: {run.config.name}",
        sections=sections,
        facts=_counts(run, nodes) | page_facts(run),
        warnings=collapse_warnings(run),
        configuration=shown_configuration(run),
    )
    return Outcome(("report/index.html",), rows=len(sections))


def _counts(run: Run, nodes: NodeTable) -> dict[str, str]:
    held_out = held_out_segments(run)
    n_held_out = np.isin(nodes.segment_ids, np.array(sorted(held_out), dtype=np.uint64)).sum()
    return {
        "nodes": f"{len(nodes):,} on {len(np.unique(nodes.segment_ids)):,} segments",
        "held out": f"{n_held_out:,} nodes on {len(held_out):,} segments, never seen in training",
    }


def page_facts(run: Run) -> dict[str, str]:
    """What was wanted of a run, for the top of its page."""
    config = run.config
    return {
        "training": f"{config.train.steps:,} steps of {config.train.batch_pairs:,} pairs"
        if config.embed.encoder is None
        else f"none here: the encoder is {config.embed.encoder}",
        "voxel size (x, y, z)": " x ".join(f"{v:g}" for v in run.volume.voxel_size_nm) + " nm",
        "cube": f"{config.cubes.size_vx} voxels on a side",
        "encoder": f"ResNet-{config.encoder.depth}, {config.encoder.width:g} of the published width, "
        f"{config.encoder.embedding_dim} dimensions",
        "seed": str(config.seed),
        "segclr": __version__,
    }


def shown_configuration(run: Run) -> str:
    """The resolved configuration as YAML; where the run lies and who worked are no part of it."""
    tree = run.config.model_dump(mode="json", exclude={"run", "cluster"})
    return yaml.safe_dump(tree, sort_keys=False)


def _summary_section(run: Run) -> Section:
    text = (
        "All scores are on held-out cells; a cell is here a segment of the segmentation. Highest "
        f"without aggregation: {highest_scores(run)}."
    )
    weakest = weakest_classes(run)
    if weakest:
        text += f" Told worst by the trained encoder, node alone (F1): {weakest}."
    return Section(title="Summary", paragraphs=[text], tables=[headline_table(run)])
