"""What a training is watched by, besides the held-out pairs."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from segclr import files
from segclr.config import MonitorConfig, decisive
from segclr.errors import TrainingError

__all__ = ["Distances", "Probe", "Watch"]

Score = Callable[[NDArray[np.float32], NDArray[np.str_], NDArray[np.int64]], float]


@dataclass(frozen=True, eq=False)
class Probe:
    """Labelled cubes of held-out cells, and how embeddings of them are scored.

    Attributes:
        rows: int64 [n], rows of the cube source.
        classes: str [n].
        groups: int64 [n], a number for the cell of each row.
        score: macro F1 from (embeddings [n, d], classes, groups), such as
            ``segclr.classify.probe.probe_macro_f1``; a deterministic function.
    """

    rows: NDArray[np.int64]
    classes: NDArray[np.str_]
    groups: NDArray[np.int64]
    score: Score

    def __post_init__(self) -> None:
        """Refuse columns of unequal length."""
        lengths = {len(self.rows), len(self.classes), len(self.groups)}
        if len(lengths) != 1 or not len(self.rows):
            msg = f"columns of a probe must be of one length above 0, got {sorted(lengths)}"
            raise TrainingError(msg)


@dataclass(frozen=True, eq=False)
class Distances:
    """Path distances of the held-out pairs, for similarity by distance.

    Attributes:
        pairs_nm: float [n], path within each held-out pair.
        edges_nm: ascending edges of the bins; half-open, but the last one holds its upper edge.
    """

    pairs_nm: NDArray[np.floating]
    edges_nm: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse edges that make no bins."""
        if len(self.edges_nm) < 2 or (np.diff(self.edges_nm) <= 0).any():
            msg = f"edges_nm must be two or more ascending distances, got {list(self.edges_nm)}"
            raise TrainingError(msg)

    @property
    def names(self) -> list[str]:
        """Column of each bin: ``cosine_positive_0_1500_nm``."""
        edges = [f"{edge:g}" for edge in self.edges_nm]
        return [f"cosine_positive_{a}_{b}_nm" for a, b in itertools.pairwise(edges)]

    def take(self, rows: NDArray[np.int64]) -> Distances:
        """Those of some pairs."""
        return Distances(self.pairs_nm[rows], self.edges_nm)

    def means(self, values: torch.Tensor) -> dict[str, float]:
        """Mean of the pairs' values [n] in each bin, by column; nan for a bin without any pair."""
        bins = np.searchsorted(self.edges_nm, self.pairs_nm, side="right") - 1
        bins[self.pairs_nm == self.edges_nm[-1]] = len(self.edges_nm) - 2
        return {name: float(values[torch.from_numpy(bins == i)].mean()) for i, name in enumerate(self.names)}


@dataclass(frozen=True, eq=False, kw_only=True)
class Watch:
    """What to watch.

    Attributes:
        config: how often, and where it is shown.
        distances: of the held-out pairs; None: similarity of positives by distance is not recorded.
        probe: None: no linear probe.
    """

    config: MonitorConfig = field(default_factory=MonitorConfig)
    distances: Distances | None = None
    probe: Probe | None = None

    def identity(self) -> dict[str, Any]:
        """What a resumed run must share with the run it goes on with: plain values only."""
        arrays: list[bytes] = []
        if self.distances is not None:
            arrays += [np.asarray(self.distances.pairs_nm, np.float64).tobytes()]
            arrays += [np.asarray(self.distances.edges_nm, np.float64).tobytes()]
        if self.probe is not None:
            arrays += [self.probe.rows.tobytes(), "\n".join(self.probe.classes.tolist()).encode()]
            arrays += [self.probe.groups.tobytes()]
        return {**decisive(self.config), "watched_sha256": files.sha256(b"|".join(arrays))}
