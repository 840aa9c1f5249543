"""A page of what a run has, wherever it stands: before its end, without EM, or a benchmark in the middle.

The page of a whole run is a stage (``report.py``); this one is written beside it, on request, and is nobody's
input.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np

from pipelines.classify import encoders_of, tasks_of
from pipelines.inspect import run_status, saved_run
from pipelines.nodes import nodes_left
from pipelines.report import page_facts, shown_configuration
from pipelines.report_data import embedding_section, tissue_section
from pipelines.report_scores import probe_section, retrieval_section
from pipelines.report_training import training_section
from pipelines.report_work import work_section
from pipelines.run import TRAINED, Run
from segclr import files
from segclr.view import Section, Table, write_report

__all__ = ["is_whole", "write_report_so_far"]

PAGE = "report/so_far.html"


def is_whole(run: Run) -> bool:
    """Whether all is done that the page of a whole run shows."""
    return ("judge" if run.config.benchmark is not None else "evaluate") in _done(run)


def write_report_so_far(run: Run) -> str:
    """Write the page; answers its URL."""
    sections = list(_sections(run))
    write_report(
        run.path(PAGE),
        title=f"SegCLR run, so far: {run.config.name}",
        sections=sections,
        facts=page_facts(run),
        configuration=shown_configuration(run),
    )
    return run.path(PAGE)


def _done(run: Run) -> set[str]:
    """Stages of which no part is missing or failed."""
    return {
        told["stage"]
        for told in run_status(run.url)
        if told["total"] and not told["missing"] and not told["errors"]
    }


def _sections(run: Run) -> Iterator[Section]:
    yield work_section(run)
    if run.config.benchmark is not None:
        for url in files.glob(run.url, "*/run.yaml"):
            part = saved_run(url.removesuffix("/run.yaml"))
            section = work_section(part)
            yield Section(part.config.name, section.paragraphs, section.tables)
        return
    done = _done(run)
    for needed, make in _makers(run):
        if needed <= done:
            yield make()


def _makers(run: Run) -> Iterator[tuple[set[str], Callable[[], Section]]]:
    """Sections in the order of the story, with the stages that each needs."""
    yield {"nodes"}, functools.partial(_nodes_section, run)
    if run.config.volume is None or run.config.volume.em is not None:
        yield {"nodes"}, lambda: tissue_section(run, nodes_left(run))
    if run.config.trains and files.exists(run.path("training/history.csv")):
        yield set(), functools.partial(training_section, run)
    compacted = {which.stage("compact") for which in encoders_of(run)}
    yield {"segments", *compacted}, lambda: embedding_section(run, nodes_left(run))
    for task in tasks_of(run):
        if files.exists(run.path("evaluation", f"{task}.json")):
            judged = retrieval_section if task == "retrieval" else functools.partial(probe_section, task=task)
            yield {TRAINED.stage("aggregate")}, functools.partial(judged, run)


def _nodes_section(run: Run) -> Section:
    nodes = nodes_left(run)
    counts = np.unique(nodes.segment_ids, return_counts=True)[1]
    parents = nodes.parent_rows()
    below = parents >= 0
    steps_nm = np.linalg.norm(nodes.points_nm[below] - nodes.points_nm[parents[below]], axis=1)
    table = Table(
        caption=f"Nodes, {run.config.nodes.spacing_nm:g} nm apart along the skeletons",
        header=(
            "nodes",
            "segments",
            "median nodes a segment",
            "most",
            "straight lines between neighbours, mm",
        ),
        rows=[
            (
                f"{len(nodes):,}",
                f"{len(counts):,}",
                f"{np.median(counts):g}" if len(counts) else "–",
                f"{counts.max(initial=0):,}",
                f"{steps_nm.sum() / 1e6:.3g}",
            )
        ],
    )
    return Section(title="Nodes", tables=[table])
