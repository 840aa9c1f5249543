"""The command line. Heavy libraries are imported inside the commands: ``segclr --help`` must be quick."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli_classify import classify_app
from pipelines.cli_encoder import export, import_weights
from pipelines.cli_explore import cluster, project, search
from pipelines.cli_inspect import status, validate
from pipelines.cli_options import Cluster, Config, Of, Part, Set, read_config, read_share
from pipelines.cli_report import report
from pipelines.cli_view import view
from pipelines.signals import STATUS_UNFINISHED, StopAskedError, stops_heard

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
    "Exit status: 0 done, 1 data or job failure, 2 wrong usage or configuration, 75 stopped by a signal of a "
    "batch system or waiting in vain: the same command goes on. "
    "With --debug anywhere, an error shows its traceback.\n\n"
    "Example: segclr demo --out runs/demo",
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


def _stage_command(name: str, summary: str, example: str) -> Callable[..., None]:
    def command(
        config: Config, set_: Set = None, cluster: Cluster = None, part: Part = None, of: Of = None
    ) -> None:
        from pipelines.workflow import run_one

        run_one(read_config(config, set_, cluster), name, read_share(part, of))

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
}.items():
    _example = "configs/demo.yaml" if _name == "tissue" else "configs/fib25.yaml"
    app.command(_name)(_stage_command(_name, _summary, _example))


@app.command()
def run(
    config: Annotated[str, typer.Argument(help="YAML configuration of the run (path or URL).")],
    set_: Set = None,
    cluster: Cluster = None,
    part: Part = None,
    of: Of = None,
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Of a benchmark: the small one, to see that all of it works.")
    ] = False,
) -> None:
    """Run all stages of a configuration.

    Run again, it does only what is missing.

    Example: segclr run configs/fib25.yaml --set train.steps=400
    """
    loaded = read_config(config, set_, cluster)
    if quick:
        from segclr.errors import ConfigError

        if loaded.benchmark is None or not loaded.benchmark.quick:
            msg = f"--quick is for a benchmark that says in benchmark.quick what is small; {config} does not"
            raise ConfigError(msg)
        loaded = read_config(config, [*loaded.benchmark.quick, *(set_ or [])], cluster)
    _whole(loaded, part, of)


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

    typer.echo(run_distillation(read_config(config, set_, cluster)).path("encoder"))


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
    _whole(read_config(packaged_config("demo"), overrides, cluster))


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
    """Tell what a run will take, before it.

    Nodes, bytes, hours and money, from metadata or a sample of blocks; writes nothing. With --encoder no
    volume is opened.

    Example: segclr plan configs/fib25.yaml --sample-blocks 4 --seed 0
    """
    loaded = read_config(config, set_, None)
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


def _whole(config: RunConfig, part: int | None = None, of: int | None = None) -> None:
    from pipelines.workflow import run_all
    from segclr.errors import LostNodesError

    share = read_share(part, of)
    try:
        run_all(config, share)
    except LostNodesError:
        _print_scores(config)
        raise
    if share.part == 0:
        _print_scores(config)


def _print_scores(config: RunConfig) -> None:
    from rich.console import Console
    from rich.table import Table

    from pipelines.run import open_run

    done = open_run(config)
    if config.benchmark is None:
        from pipelines.report import score_table

        (header, rows), on = score_table(done), "held-out cells"
    else:
        from pipelines.benchmark_rows import benchmark_table

        (header, rows), on = benchmark_table(done), "test tissues"
    table = Table(*header, title=f"{config.name}: {on}, macro F1 or share retrieved")
    for row in rows:
        table.add_row(*row)
    Console(width=100 if config.benchmark is None else 150).print(table)
    typer.echo(f"report: {done.path('report/index.html')}")


app.command()(export)
app.command("import-weights")(import_weights)


for _command in (search, cluster, project, report, view, status, validate):
    app.command()(_command)


def main() -> None:
    """Run a command; an error is one line, and its traceback only comes with --debug."""
    # Threads that spin while they wait stand still where another job shares the cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    debug = "--debug" in sys.argv
    arguments = [a for a in sys.argv[1:] if a != "--debug"]
    try:
        with stops_heard() as heard:
            try:
                app(arguments)
            except SystemExit as end:
                if end.code != _INTERRUPTED:
                    raise
                raise (StopAskedError(heard[0].name) if heard else KeyboardInterrupt) from end
            except Exception as error:
                if debug:
                    raise
                typer.echo(f"segclr: error: {_one_line(error)}", err=True)
                sys.exit(_status(error))
    except KeyboardInterrupt as stop:  # wherever it came
        asked = isinstance(stop, StopAskedError)
        why = f" by {stop}" if asked else ""
        typer.echo(f"segclr: stopped{why}; the same command goes on from here", err=True)
        sys.exit(STATUS_UNFINISHED if asked else 1)


def _one_line(error: Exception) -> str:
    from segclr.errors import SegclrError

    if isinstance(error, SegclrError):
        return " ".join(str(error).split())
    return f"{type(error).__name__}: {error} (--debug: where)"


def _status(error: Exception) -> int:
    from segclr.errors import ConfigError, UnfinishedError

    if isinstance(error, UnfinishedError):
        return STATUS_UNFINISHED
    return 2 if isinstance(error, ConfigError) else 1


_INTERRUPTED = 130
"""What typer makes of Ctrl-C."""
