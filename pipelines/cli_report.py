"""``segclr report``: the page of a run, at its end or before."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.cli_options import Cluster, OptionalConfig, Set, read_config

__all__ = ["report"]


def report(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="Folder of a run (path or URL); or --config.")
    ] = None,
    config: OptionalConfig = None,
    set_: Set = None,
    cluster: Cluster = None,
) -> None:
    """Write the page of a run: figures and the numbers behind them.

    One HTML file that holds everything. Of a run that is not at its end, report/so_far.html shows what there
    is.

    Example: segclr report runs/demo
    """
    from pipelines.inspect import saved_run
    from pipelines.report_so_far import is_whole, write_report_so_far
    from pipelines.workflow import run_one
    from segclr.errors import ConfigError

    if config is not None and run is None:
        wanted = read_config(config, set_, cluster)
    elif run is None or config is not None:
        msg = "give the folder of a run, or --config with its configuration: segclr report runs/demo"
        raise ConfigError(msg)
    elif set_ or cluster:
        msg = "a run's folder tells its configuration: --set and --cluster go with --config"
        raise ConfigError(msg)
    else:
        found = saved_run(run)
        if not is_whole(found):
            typer.echo(f"report: {write_report_so_far(found)}")
            return
        wanted = found.config
    typer.echo(f"report: {run_one(wanted, 'report').path('report/index.html')}")
