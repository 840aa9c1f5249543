"""``segclr classify``: fit, apply and judge classifiers."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from pipelines.cli_options import Cluster, Config, Set, read_config, refuse_unused

__all__ = ["classify_app"]

classify_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Fit, apply and judge classifiers.\n\n"
    "Example: segclr classify evaluate --config configs/fib25.yaml --task retrieval",
)


class Task(StrEnum):
    """Values of --task."""

    compartment = "compartment"
    cell_type = "cell_type"
    retrieval = "retrieval"


class KindName(StrEnum):
    """Values of --kind."""

    linear = "linear"
    resnet = "resnet"


class MetricName(StrEnum):
    """Values of --metric."""

    euclidean = "euclidean"
    path = "path"


TaskOption = Annotated[Task, typer.Option("--task", help="Labels to use; retrieval needs none.")]
MetricOption = Annotated[MetricName, typer.Option("--metric", help="How the radius is measured.")]
KindOption = Annotated[
    KindName, typer.Option("--kind", help="resnet: residual, with a Gaussian process as its last layer.")
]
Radius = Annotated[
    float, typer.Option("--radius-um", min=0, help="Radius of aggregation in um; 0: the node alone.")
]


@classify_app.command("fit")
def classify_fit(
    config: Config,
    task: TaskOption,
    metric: MetricOption = MetricName.euclidean,
    radius_um: Radius = 0.0,
    kind: KindOption = KindName.linear,
    *,
    unknown_rate: Annotated[
        float | None,
        typer.Option(
            "--unknown-rate",
            min=0,
            help="Choose the uncertainty above which this share of held-out training nodes is 'unknown'.",
        ),
    ] = None,
    hold_out: Annotated[
        bool,
        typer.Option(
            "--hold-out/--no-hold-out",
            help="Leave training cells out to calibrate (linear) or to end training (resnet); it takes two "
            "cells of every class.",
        ),
    ] = True,
    set_: Set = None,
) -> None:
    """Fit a classifier on the training segments and save it in classifiers/.

    Example: segclr classify fit --config configs/demo.yaml --task cell_type --radius-um 10
    """
    from pipelines.classifiers import read_threshold
    from pipelines.classify import fit_classifier
    from pipelines.run import open_run

    run = open_run(read_config(config, set_, None))
    url = fit_classifier(
        run,
        task.value,
        metric=metric.value,
        radius_um=radius_um,
        kind=kind.value,
        unknown_rate=unknown_rate,
        hold_out=hold_out,
    )
    if unknown_rate is not None:
        typer.echo(f"unknown above an uncertainty of {read_threshold(url):.3g}", err=True)
    typer.echo(url)


@classify_app.command("predict")
def classify_predict(
    config: Config,
    task: TaskOption,
    metric: MetricOption = MetricName.euclidean,
    radius_um: Radius = 0.0,
    kind: KindOption = KindName.linear,
    unknown_above: Annotated[
        float | None,
        typer.Option(
            "--unknown-above",
            min=0,
            max=1,
            help="Call 'unknown' above this uncertainty; else as fitted with --unknown-rate. 1: never.",
        ),
    ] = None,
    set_: Set = None,
) -> None:
    """Apply a fitted classifier to every node; writes predictions/.

    Example: segclr classify predict --config configs/demo.yaml --task cell_type --radius-um 10
    """
    from pipelines.predictions import predict_nodes
    from pipelines.run import open_run

    run = open_run(read_config(config, set_, None))
    url = predict_nodes(
        run,
        task.value,
        metric=metric.value,
        radius_um=radius_um,
        kind=kind.value,
        unknown_above=unknown_above,
    )
    typer.echo(url)


@classify_app.command("evaluate")
def classify_evaluate(config: Config, task: TaskOption, set_: Set = None, cluster: Cluster = None) -> None:
    """Judge a task on held-out segments, baselines beside it; prints JSON. Retrieval is --task retrieval.

    Example: segclr classify evaluate --config configs/fib25.yaml --task retrieval
    """
    from pipelines.workflow import run_one
    from segclr import files
    from segclr.errors import ConfigError

    run = run_one(read_config(config, set_, cluster), "evaluate")
    url = run.path("evaluation", f"{task.value}.json")
    if not files.exists(url):
        msg = f"{config} has no labels for task {task.value}: give labels.compartments or labels.cell_types"
        raise ConfigError(msg)
    typer.echo(files.read_bytes(url).decode())


@classify_app.command("merges")
def classify_merges(
    context: typer.Context,
    config: Config,
    radius_um: Annotated[
        float, typer.Option("--radius-um", min=0, help="Path in um averaged on either side of an edge.")
    ] = 25.0,
    *,
    evaluate: Annotated[
        bool,
        typer.Option("--evaluate", help="Instead, judge on artificial merges of held-out cells."),
    ] = False,
    min_nodes: Annotated[
        int, typer.Option("--min-nodes", min=2, help="With --evaluate: cells with fewer nodes are left out.")
    ] = 8,
    max_gap_um: Annotated[
        float, typer.Option("--max-gap-um", min=0, help="With --evaluate: cells nearer than this are joined.")
    ] = 2.0,
    set_: Set = None,
) -> None:
    """Score every edge of every segment: where type and embedding change; writes predictions/.

    Needs labels.cell_types of some training segments. What the score means: docs/merges.md.

    Example: segclr classify merges --config configs/demo.yaml
    """
    from pipelines.merges import judge_merges, score_merges
    from pipelines.run import open_run
    from segclr import files
    from segclr.classify.merge_evaluation import MergeProtocol

    if not evaluate:
        refuse_unused(context, ("min_nodes", "max_gap_um"), to="scoring: it belongs to --evaluate")
    run = open_run(read_config(config, set_, None))
    if evaluate:
        protocol = MergeProtocol(min_nodes=min_nodes, max_gap_um=max_gap_um, seed=run.config.seed)
        url = judge_merges(run, radius_um=radius_um, protocol=protocol)
        typer.echo(files.read_bytes(url).decode())
    else:
        typer.echo(score_merges(run, radius_um=radius_um))
