"""The command line. Heavy libraries are imported inside the commands: ``segclr --help`` must be quick."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from segclr.config import RunConfig

__all__ = ["app", "main"]

app = typer.Typer(
    name="segclr",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="SegCLR: from an EM volume and a draft segmentation to embeddings of every place on every cell.\n\n"
    "Exit status: 0 done, 1 data or job failure, 2 wrong usage or configuration. "
    "With --debug anywhere, an error shows its traceback.\n\n"
    "Example: segclr demo --out runs/demo",
)
classify_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Fit, apply and judge classifiers.\n\n"
    "Example: segclr classify evaluate --config configs/fib25.yaml --task retrieval",
)
app.add_typer(classify_app, name="classify")


def _print_version(*, wanted: bool) -> None:
    if wanted:
        from segclr._version import __version__

        typer.echo(f"segclr {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=lambda value: _print_version(wanted=value),
            is_eager=True,
            help="Print the version and end.",
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; may stand anywhere.")
    ] = False,
) -> None:
    pass


class ClusterKind(StrEnum):
    """Values of --cluster."""

    none = "none"
    local = "local"
    scheduler = "scheduler"


Config = Annotated[str, typer.Option("--config", "-c", help="YAML configuration of the run (path or URL).")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="Override a key: section.key=value. May be repeated.")
]
Cluster = Annotated[
    ClusterKind | None, typer.Option("--cluster", help="Where to work; none: serially in this process.")
]


def _config(config: str, overrides: list[str] | None, cluster: ClusterKind | None) -> RunConfig:
    from segclr.config import load_config

    more = [f"cluster.kind={cluster.value}"] if cluster is not None else []
    return load_config(config, [*(overrides or []), *more])


def _stage_command(name: str, summary: str, example: str) -> Callable[..., None]:
    def command(config: Config, set_: Set = None, cluster: Cluster = None) -> None:
        from pipelines.workflow import run_one

        run_one(_config(config, set_, cluster), name)

    command.__doc__ = f"{summary}\n\nExample: segclr {name} --config {example}"
    return command


for _name, _summary in {
    "tissue": "Make tissue: EM, segmentation, labels, skeletons.",
    "skeletonize": "Make a skeleton of every segment.\n\nNeeds the extra skeletonize (kimimaro).",
    "nodes": "Place nodes along the skeletons.\n\nEach lies inside its own segment.",
    "pairs": "Hold segments out and draw positive pairs.",
    "cubes": "Cut the masked cubes that training reads.",
    "train": "Train the encoder.\n\nA killed training goes on from its last checkpoint.",
    "embed": "Embed every node.\n\nBlock by block; then the vectors are shuffled to shards by segment.",
    "aggregate": "Average embeddings within each radius.",
    "report": "Write report/index.html.\n\nFigures and the numbers behind them.",
}.items():
    _example = "configs/demo.yaml" if _name == "tissue" else "configs/fib25.yaml"
    app.command(_name)(_stage_command(_name, _summary, _example))


@app.command()
def run(
    config: Annotated[str, typer.Argument(help="YAML configuration of the run (path or URL).")],
    set_: Set = None,
    cluster: Cluster = None,
) -> None:
    """Run all stages of a configuration.

    Run again, it does only what is missing.

    Example: segclr run configs/fib25.yaml --set train.steps=400
    """
    _whole(_config(config, set_, cluster))


@app.command()
def distill(
    config: Annotated[str, typer.Argument(help="YAML configuration with a distill section (path or URL).")],
    set_: Set = None,
    cluster: Cluster = None,
) -> None:
    """Distil a big encoder into a small one.

    Does what is missing of the stages before, too; `segclr run` then goes on to embeddings.

    Example: segclr distill configs/distill.yaml --set distill.teacher=runs/demo/encoder
    """
    from pipelines.workflow import run_distillation

    typer.echo(run_distillation(_config(config, set_, cluster)).path("encoder"))


@app.command()
def demo(
    out: Annotated[str, typer.Option("--out", help="Folder of the run (path or URL).")] = "runs/demo",
    seed: Annotated[int, typer.Option("--seed", help="Seed of tissue, training and splits.")] = 0,
    set_: Set = None,
    cluster: Cluster = None,
) -> None:
    """Tell the whole story on made tissue.

    Offline, in minutes on two cores.

    Example: segclr demo --out runs/demo --seed 1
    """
    from pipelines.packaged import packaged_config

    overrides = [f"run={json.dumps(out)}", f"seed={seed}", *(set_ or [])]
    _whole(_config(packaged_config("demo"), overrides, cluster))


@app.command()
def plan(
    config: Annotated[str, typer.Argument(help="YAML configuration of the run (path or URL).")],
    sample_blocks: Annotated[
        int,
        typer.Option("--sample-blocks", min=0, help="Blocks of work to look into; 0: metadata alone."),
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the draw of blocks.")] = 0,
    set_: Set = None,
    *,
    encoder: Annotated[
        bool, typer.Option("--encoder", help="The encoder part by part instead: parameters, FLOPs, memory.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Tell nodes, bytes, hours and money of a run before it is run; writes nothing.

    With --encoder no volume is opened. Example: segclr plan configs/fib25.yaml --sample-blocks 4 --seed 0
    """
    loaded = _config(config, set_, None)
    if encoder:
        from pipelines.plan_encoder import encoder_table, encoder_tree

        tree, table = encoder_tree(loaded), encoder_table(loaded)
    else:
        from pipelines.plan import plan_run, plan_table, plan_tree

        told = plan_run(loaded, n_samples=sample_blocks, seed=seed)
        tree, table = plan_tree(told), plan_table(told)
    if as_json:
        typer.echo(json.dumps(tree, indent=1))
        return

    from rich.console import Console

    console = Console()
    Console(width=max(console.width, 120)).print(table)


def _whole(config: RunConfig) -> None:
    from pipelines.workflow import run_all

    done = run_all(config)

    from rich.console import Console
    from rich.table import Table

    from pipelines.report import score_table

    header, rows = score_table(done)
    table = Table(*header, title=f"{config.name}: held-out cells, macro F1 or share retrieved")
    for row in rows:
        table.add_row(*row)
    Console(width=100).print(table)
    typer.echo(f"report: {done.path('report/index.html')}")


class Task(StrEnum):
    """Values of --task."""

    compartment = "compartment"
    cell_type = "cell_type"
    retrieval = "retrieval"


class MetricName(StrEnum):
    """Values of --metric."""

    euclidean = "euclidean"
    path = "path"


TaskOption = Annotated[Task, typer.Option("--task", help="Labels to use; retrieval needs none.")]
MetricOption = Annotated[MetricName, typer.Option("--metric", help="How the radius is measured.")]
Radius = Annotated[
    float, typer.Option("--radius-um", min=0, help="Radius of aggregation in um; 0: the node alone.")
]


@classify_app.command("fit")
def classify_fit(
    config: Config,
    task: TaskOption,
    metric: MetricOption = MetricName.euclidean,
    radius_um: Radius = 0.0,
    set_: Set = None,
) -> None:
    """Fit a linear classifier on the training segments and save it in classifiers/.

    Example: segclr classify fit --config configs/demo.yaml --task cell_type --radius-um 10
    """
    from pipelines.classify import fit_classifier
    from pipelines.run import open_run

    run = open_run(_config(config, set_, None))
    typer.echo(fit_classifier(run, task.value, metric=metric.value, radius_um=radius_um))


@classify_app.command("predict")
def classify_predict(
    config: Config,
    task: TaskOption,
    metric: MetricOption = MetricName.euclidean,
    radius_um: Radius = 0.0,
    unknown_above: Annotated[
        float | None,
        typer.Option("--unknown-above", min=0, max=1, help="Call 'unknown' above this uncertainty."),
    ] = None,
    set_: Set = None,
) -> None:
    """Apply a fitted classifier to every node; writes predictions/.

    Example: segclr classify predict --config configs/demo.yaml --task cell_type --radius-um 10
    """
    from pipelines.classify import predict_nodes
    from pipelines.run import open_run

    run = open_run(_config(config, set_, None))
    url = predict_nodes(
        run, task.value, metric=metric.value, radius_um=radius_um, unknown_above=unknown_above
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

    run = run_one(_config(config, set_, cluster), "evaluate")
    url = run.path("evaluation", f"{task.value}.json")
    if not files.exists(url):
        msg = f"{config} has no labels for task {task.value}: give labels.compartments or labels.cell_types"
        raise ConfigError(msg)
    typer.echo(files.read_bytes(url).decode())


@app.command()
def export(
    encoder: Annotated[str, typer.Argument(help="Folder of an encoder (path or URL).")],
    out: Annotated[str, typer.Option("--out", help="File to write (path or URL): .onnx or .pt2.")],
) -> None:
    """Export an encoder as one file that runs without this package.

    From cubes uint8 [n, z, y, x] to embeddings float32 [n, d], for any n. ONNX needs the extra export.

    Example: segclr export runs/demo/encoder --out encoder.onnx
    """
    from segclr.model.checkpoint import load_encoder
    from segclr.model.export import export_encoder

    export_encoder(load_encoder(encoder), out)
    typer.echo(out)


@app.command("import-weights")
def import_weights(
    checkpoint: Annotated[str, typer.Argument(help="TensorFlow checkpoint, without .index and .data-*.")],
    out: Annotated[str, typer.Option("--out", help="Folder of the encoder (path or URL).")],
    voxel_size_nm: Annotated[
        tuple[float, float, float],
        typer.Option("--voxel-size-nm", help="nm (x, y, z) the weights were trained at; H01: 32 32 33."),
    ] = (32.0, 32.0, 40.0),
    size_vx: Annotated[int, typer.Option("--size-vx", min=1, help="Edge of the cubes, voxels.")] = 129,
) -> None:
    """Turn a released TensorFlow checkpoint into an encoder.

    Needs the extra tensorflow. Every variable is accounted for; afterwards TensorFlow is not needed.

    Example: segclr import-weights model.ckpt-216000.training_tf2resaved-1 --out encoders/microns
    """
    from segclr.model.tensorflow_import import import_tensorflow_checkpoint

    encoder = import_tensorflow_checkpoint(checkpoint, voxel_size_nm=voxel_size_nm, size_vx=size_vx)
    encoder.save(out)
    n = sum(p.numel() for p in encoder.network.parameters())
    typer.echo(f"{out}: {n / 1e6:.2f} M parameters, {encoder.config.embedding_dim} dimensions")


RunFolder = Annotated[str, typer.Argument(metavar="RUN", help="Folder of a run (path or URL).")]


@app.command()
def status(run: RunFolder) -> None:
    """Count what a run has done and what failed.

    Example: segclr status runs/demo
    """
    from pipelines.inspect import run_status

    for line in run_status(run):
        typer.echo(line)


@app.command()
def validate(run: RunFolder) -> None:
    """Check a run's files against its records.

    Sizes and checksums of all files, and that every node is embedded exactly once.

    Example: segclr validate runs/demo
    """
    from pipelines.inspect import run_faults
    from segclr.errors import DataError

    faults = run_faults(run)
    for line in faults:
        typer.echo(line)
    if faults:
        msg = f"{len(faults)} faults in {run}"
        raise DataError(msg)
    typer.echo("all promises hold")


def main() -> None:
    """Run a command; an error is one line, and its traceback only comes with --debug."""
    # Threads that spin while they wait stand still where another job shares the cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    debug = "--debug" in sys.argv
    arguments = [a for a in sys.argv[1:] if a != "--debug"]
    try:
        app(arguments)
    except SystemExit as end:
        if end.code != _INTERRUPTED:
            raise
        typer.echo("segclr: stopped; the same command goes on from here", err=True)
        sys.exit(1)
    except Exception as error:
        if debug:
            raise
        from segclr.errors import ConfigError, SegclrError

        known = isinstance(error, SegclrError)
        text = " ".join(str(error).split()) if known else f"{type(error).__name__}: {error} (--debug: where)"
        typer.echo(f"segclr: error: {text}", err=True)
        sys.exit(2 if isinstance(error, ConfigError) else 1)


_INTERRUPTED = 130
"""What typer makes of Ctrl-C."""
