"""What a benchmark's ``judge`` found, read back: rows, scores by test tissue, the closing table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pandas as pd

from pipelines.run import TRAINED, Run
from segclr.store.parquet import read_columns

__all__ = [
    "SUPERVISED",
    "ScoreLine",
    "benchmark_table",
    "labels_to_reach",
    "mean_text",
    "of_tissues",
    "pooled",
    "read_rows",
    "rows_by",
    "score_lines",
    "types_radius_um",
    "within",
]

SUPERVISED = "supervised"
"""Name of the method in the rows of compartments."""

_COMPARED = ("compartments", "cell types", "merges, all (AUROC)", "retrieval")


def read_rows(top: Run, question: str) -> pd.DataFrame:
    """What a part of ``judge`` wrote."""
    columns = read_columns(top.path(f"evaluation/{question}.parquet"))
    return pd.DataFrame({name: column.tolist() for name, column in columns.items()})


def rows_by(frame: pd.DataFrame, *names: str) -> Iterator[tuple[Any, pd.DataFrame]]:
    """Rows of each value of one column, or each tuple of values of several, in order of appearance."""
    yield from frame.groupby(names[0] if len(names) == 1 else list(names), sort=False)


def mean_text(values: pd.Series) -> str:
    """Mean over test tissues with the lowest and highest of them, such as 0.91 [0.88, 0.94]."""
    return f"{values.mean():.3f} [{values.min():.3f}, {values.max():.3f}]"


class ScoreLine(NamedTuple):
    """One method's score in one setting, a value for each test tissue."""

    question: str
    setting: str
    method: str
    of_tissues: pd.Series


def score_lines(top: Run) -> Iterator[ScoreLine]:
    """All scores of a benchmark."""
    for (method, n), found in rows_by(read_rows(top, "compartments"), "method", "n_labels"):
        yield ScoreLine("compartments", f"{n:,} labels", method, of_tissues(found, "macro_f1"))
    types = read_rows(top, "cell_types")
    for (radius_um, method, pooling), found in rows_by(types, "radius_um", "method", "pooling"):
        yield ScoreLine(
            "cell types", within(radius_um), pooled(method, pooling), of_tissues(found, "macro_f1")
        )
    for method, found in rows_by(read_rows(top, "calibration"), "method"):
        error = found.groupby("test_seed")["ece"].first()
        yield ScoreLine(f"calibration error of types {within(types_radius_um(top))}", "linear", method, error)
    for method, found in rows_by(read_rows(top, "unknown"), "method"):
        yield ScoreLine("a type never seen (AUROC)", "mean of types", method, of_tissues(found, "auroc"))
    for (merges, method), found in rows_by(read_rows(top, "merges"), "merges", "method"):
        question = f"merges, {merges} (AUROC)"
        yield ScoreLine(question, "any size", method, of_tissues(found, "auroc"))
        yield ScoreLine(question, "about equal size", method, of_tissues(found, "matched_auroc"))
    for (beyond_nm, method), found in rows_by(read_rows(top, "retrieval"), "exclusion_nm", "method"):
        yield ScoreLine("retrieval", f"beyond {beyond_nm:g} nm", method, of_tissues(found, "share"))


def benchmark_table(top: Run) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The closing table of a benchmark: header and rows of text, means over test tissues by method."""
    lines = [line for line in score_lines(top) if line.question in _COMPARED]
    methods = list(dict.fromkeys(line.method for line in lines))
    means = {(line.question, line.setting, line.method): line.of_tissues.mean() for line in lines}
    settings = list(dict.fromkeys((line.question, line.setting) for line in lines))
    rows = [
        (*setting, *(f"{means[*setting, m]:.2f}" if (*setting, m) in means else "–" for m in methods))
        for setting in settings
    ]
    return ("question", "setting", *methods), rows


def of_tissues(found: pd.DataFrame, column: str) -> pd.Series:
    """Mean of a column on each test tissue, over the draws of labels."""
    return found.groupby("test_seed")[column].mean()


def pooled(method: str, pooling: str) -> str:
    """A method's name with its pooling, where that is not the mean."""
    return method if pooling == "mean" else f"{method}, {pooling}"


def within(radius_um: float) -> str:
    """A radius in words."""
    return f"within {radius_um:g} µm" if radius_um else "node alone"


def labels_to_reach(compartments: pd.DataFrame, n_supervised: int | None = None) -> tuple[int | None, int]:
    """How few labels a linear classifier needs to reach a supervised network.

    Args:
        compartments: rows of ``evaluation/compartments.parquet``.
        n_supervised: labels of the network; None: the one with the most.

    Returns:
        The smallest number of labels whose mean score reaches the network's, None where none does, and the
        network's own number of labels.
    """
    means = compartments.groupby(["method", "n_labels"])["macro_f1"].mean()
    networks = means[SUPERVISED]
    n = int(networks.index.max() if n_supervised is None else n_supervised)
    enough = means[TRAINED.name][means[TRAINED.name] >= networks[n]]
    return (int(enough.index.min()) if len(enough) else None), n


def types_radius_um(top: Run) -> float:
    """Within which vectors are averaged for calibration and unknown types."""
    assert top.config.benchmark is not None
    return top.config.benchmark.unknown_radius_um
