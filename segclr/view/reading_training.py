"""What a training curve says, in one sentence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segclr.view.figures_training import TrainingCurve

__all__ = ["read_training"]

_STEADY = 0.1  # a smaller relative change is called none


def read_training(curve: TrainingCurve) -> str:
    """The curve from its first look to its last, in a sentence that ends with the verdict on collapse."""
    parts = [_retrieval(curve)]
    if np.isfinite(curve.outranked).any():
        last = _ends(curve.outranked)[1]
        parts.append(
            f"at the end a view's partner is nearer than {100 * last:.0f} % of the views of other cells "
            "(50 % by chance)"
        )
    if np.isfinite(curve.effective_rank).any():
        first, last = _ends(curve.effective_rank)
        parts.append(
            f"effective rank {_moved(first, last)} {_from_to(first, last, '.1f')} of {curve.embedding_dim} "
            "dimensions"
        )
    if np.isfinite(curve.probe_macro_f1).any():
        first, last = _ends(curve.probe_macro_f1)
        parts.append(f"the linear probe's macro F1 {_moved(first, last)} {_from_to(first, last, '.2f')}")
    return "; ".join([*parts, _collapse(curve)]) + "."


def _retrieval(curve: TrainingCurve) -> str:
    if not np.isfinite(curve.top1).any():
        return "Held-out retrieval was not recorded"
    first, last = (value / curve.chance_top1 for value in _ends(curve.top1))
    return f"Held-out retrieval (top-1) {_moved(first, last)} {_from_to(first, last, '.1f')} times chance"


def _collapse(curve: TrainingCurve) -> str:
    if not curve.collapsed.any():
        return "no sign of collapse"
    since = int(curve.steps[np.flatnonzero(curve.collapsed)[0]])
    over = "" if curve.collapsed[-1] else ", and over by the last look"
    return f"the encoder was collapsing from step {since:,} on{over}"


def _ends(values: NDArray[np.floating]) -> tuple[float, float]:
    """First and last recorded value."""
    known = values[np.isfinite(values)]
    return float(known[0]), float(known[-1])


def _moved(first: float, last: float) -> str:
    if abs(last - first) <= _STEADY * max(abs(first), abs(last)):
        return "stayed"
    return "rose" if last > first else "fell"


def _from_to(first: float, last: float, digits: str) -> str:
    if _moved(first, last) == "stayed":
        return f"at {last:{digits}}"
    return f"from {first:{digits}} to {last:{digits}}"
