"""Options that commands share, and the configuration they make."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from segclr.config import RunConfig

__all__ = ["Cluster", "ClusterKind", "Config", "Set", "read_config"]


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


def read_config(config: str, overrides: list[str] | None, cluster: ClusterKind | None) -> RunConfig:
    """The configuration of a command, its options taken in."""
    from segclr.config import load_config

    more = [f"cluster.kind={cluster.value}"] if cluster is not None else []
    return load_config(config, [*(overrides or []), *more])
