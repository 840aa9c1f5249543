"""Section of the report on the training curve."""

from __future__ import annotations

import io
import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.run import Run
from segclr import files
from segclr.view import (
    Illustration,
    Section,
    TrainingCurve,
    figure_training,
    read_training,
    training_columns,
)

__all__ = ["read_curve", "training_curve", "training_section"]

_BIN = re.compile(r"cosine_positive_([^_]+)_([^_]+)_nm")


def training_section(run: Run) -> Section:
    """The training curve, with what it says in a sentence."""
    curve = training_curve(run)
    figure = Illustration(
        name="training",
        figure=figure_training(curve),
        caption=f"{read_training(curve)} Measured on {curve.n_views:,} views of held-out pairs. "
        "(a) Loss. (b) How often a view's nearest candidate (top-1), or one of the five nearest (top-5), is "
        "its partner; candidates are the partner and all views of other cells, dashed lines are random "
        "guesses. "
        "(c) Share of the views of other cells that are further than the partner. (d) Dimensions of the "
        "embedding in use. (e) Alignment and uniformity (Wang and Isola 2020). (f) Cosine similarity of "
        "partners, by the path between them, and of views of different cells. Red bars mark looks at which "
        "the early warning on collapse was on.",
        alt=f"six panels over the steps of the training: {read_training(curve)}",
        columns=training_columns(curve),
    )
    return Section(title="Training", figures=[figure])


def training_curve(run: Run) -> TrainingCurve:
    """The curve of a run's own training."""
    return read_curve(run.path("training/history.csv"), embedding_dim=run.config.encoder.embedding_dim)


def read_curve(url: str, *, embedding_dim: int) -> TrainingCurve:
    """A ``history.csv``; what could not be measured, or an older version did not, is nan."""
    history = pd.read_csv(io.BytesIO(files.read_bytes(url)))

    def column(name: str) -> NDArray[np.floating]:
        return history[name].to_numpy(np.float64) if name in history else np.full(len(history), np.nan)

    bins = {_in_um(match): column(name) for name in map(str, history) if (match := _BIN.fullmatch(name))}
    n_views = int(np.nan_to_num(column("n_views")[0]))
    marks = history.get("collapse")
    return TrainingCurve(
        steps=history["step"].to_numpy(),
        loss=column("loss"),
        top1=column("top1") if n_views else np.full(len(history), np.nan),
        top5=column("top5"),
        outranked=column("outranked"),
        effective_rank=column("effective_rank"),
        dead_dimensions=column("dead_dimensions"),
        alignment=column("alignment"),
        uniformity=column("uniformity"),
        cosine_negative=column("cosine_negative"),
        cosine_positive=bins or {"all": column("cosine_positive")},
        probe_macro_f1=column("probe_macro_f1"),
        collapsed=marks.notna().to_numpy() if marks is not None else np.zeros(len(history), dtype=bool),
        chance_top1=float(column("chance_top1")[0]),
        chance_top5=float(column("chance_top5")[0]),
        n_views=n_views,
        embedding_dim=embedding_dim,
    )


def _in_um(match: re.Match[str]) -> str:
    low, high = (float(edge) / 1000 for edge in match.groups())
    return f"{low:.3g} to {high:.3g} µm"
