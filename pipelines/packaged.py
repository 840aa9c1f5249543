"""Files that come with the package: configurations, measured rates."""

from __future__ import annotations

from pathlib import Path

from segclr.errors import MissingDataError

__all__ = ["packaged_config", "packaged_rates"]


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


def packaged_rates() -> str:
    """Path of ``rates.json``, which ``benchmarks/rates.py`` wrote: as for configurations.

    Raises:
        MissingDataError: it is absent.
    """
    here = Path(__file__).parent
    for path in (here / "rates.json", here.parent / "benchmarks" / "results" / "rates.json"):
        if path.exists():
            return str(path)
    msg = "no measured rates come with this package: run benchmarks/rates.py and set plan.rates_url"
    raise MissingDataError(msg)
