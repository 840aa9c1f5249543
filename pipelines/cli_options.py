"""Options that commands share, and the configuration they make."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, get_args

import typer

if TYPE_CHECKING:
    from pipelines.array import Share
    from segclr.config import RunConfig

__all__ = [
    "Cluster",
    "Config",
    "Of",
    "OptionalConfig",
    "Part",
    "Set",
    "read_config",
    "read_share",
    "refuse_unused",
]

Config = Annotated[str, typer.Option("--config", "-c", help="YAML configuration of the run (path or URL).")]
OptionalConfig = Annotated[
    str | None, typer.Option("--config", "-c", help="YAML configuration of the run (path or URL).")
]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="Override a key: section.key=value. May be repeated.")
]
Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        help="Where to work: none (serially in this process), local, slurm, lsf, pbs, scheduler, or a YAML "
        "file of the section cluster, such as configs/clusters/slurm.yaml.",
    ),
]
Part = Annotated[
    int | None, typer.Option("--part", help="Do the i-th share of the parts, from 0: for arrays of jobs.")
]
Of = Annotated[int | None, typer.Option("--of", help="How many shares there are, with --part.")]


def read_config(config: str, overrides: list[str] | None, cluster: str | None) -> RunConfig:
    """The configuration of a command, its options taken in; --set wins over --cluster.

    Raises:
        ConfigError: a value is unknown, missing or out of range.
    """
    from segclr.config import load_config

    return load_config(config, [*_cluster_overrides(cluster), *(overrides or [])])


def _cluster_overrides(cluster: str | None) -> list[str]:
    """Overrides that a kind or a file of the section asks for."""
    from segclr.config import ClusterConfig
    from segclr.config.load import load_tree
    from segclr.errors import ConfigError

    kinds = get_args(ClusterConfig.model_fields["kind"].annotation)
    if cluster is None:
        return []
    if cluster in kinds:
        return [f"cluster.kind={cluster}"]
    if not cluster.endswith((".yaml", ".yml")):
        msg = f"--cluster takes one of {', '.join(kinds)}, or a YAML file; got {cluster!r}"
        raise ConfigError(msg)
    return [f"cluster.{key}={json.dumps(value)}" for key, value in load_tree(cluster).items()]


def refuse_unused(context: typer.Context, names: Iterable[str], *, to: str) -> None:
    """Refuse options that were given and are of no use.

    Args:
        context: of the command.
        names: of its parameters that have no use as it was called.
        to: what they are of no use to, and what to do.

    Raises:
        ConfigError: one of them stands on the command line.
    """
    from segclr.errors import ConfigError

    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            msg = f"--{name.replace('_', '-')} is of no use to {to}"
            raise ConfigError(msg)


def read_share(part: int | None, of: int | None) -> Share:
    """The share that --part and --of ask for.

    Raises:
        ConfigError: one stands without the other, or there is no such share.
    """
    from pipelines.array import WHOLE, Share
    from segclr.errors import ConfigError

    if part is None and of is None:
        return WHOLE
    if part is None or of is None:
        msg = "--part and --of go together: --part 3 --of 16"
        raise ConfigError(msg)
    return Share(part, of)
