"""Configurations that come with the package."""

from __future__ import annotations

from pathlib import Path

from segclr.errors import MissingDataError

__all__ = ["packaged_config"]


def packaged_config(name: str) -> str:
    """Path of ``configs/<name>.yaml``: within the installed package, or at the top of a checkout.

    Raises:
        MissingDataError: there is no such configuration.
    """
    here = Path(__file__).parent
    for folder in (here / "configs", here.parent / "configs"):
        path = folder / f"{name}.yaml"
        if path.exists():
            return str(path)
    msg = f"no configuration named {name} comes with this package"
    raise MissingDataError(msg)
