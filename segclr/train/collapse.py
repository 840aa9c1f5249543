"""Early warning: is the encoder about to say the same, or nearly so, whatever it is shown?

Two ways to collapse, each told from the looks at held-out pairs:

    point   all views point one way: the mean cosine of views of different cells is nearer to 1 than a
            quarter of the distance that it had for the untrained network
    line    the embeddings hardly leave a line: their effective rank is below 2 (or 1 + d / 8, if less)

Two looks in a row must agree, and those of the warm-up, or of the first 50 steps, do not count: batch norm's
running averages, which a look goes by, lag behind weights that change fast (after 44 steps of momentum 0.1,
1 % of the start is left), and healthy networks then seem to collapse. Measured values of healthy and of
collapsing trainings: docs/monitoring.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["LINE", "POINT", "CollapseWarning", "collapse_at", "describe"]

POINT, LINE = "point", "line"

_SHARE_OF_UNTRAINED_SPREAD = 0.25
_LEAST_RANK = 2.0
_LOOKS_IN_A_ROW = 2
_SETTLED_AFTER = 50

Look = Mapping[str, Any]


class CollapseWarning(UserWarning):
    """The encoder that is being trained says nearly the same whatever it is shown."""


def collapse_at(looks: Sequence[Look], *, embedding_dim: int, warmup_steps: int) -> str:
    """How the encoder has collapsed by the last look: ``point``, ``line``, or "" where it has not.

    Args:
        looks: all looks up to now, the first one at the untrained network, each with ``step``,
            ``cosine_negative`` and ``effective_rank``.
        embedding_dim: length of an embedding.
        warmup_steps: steps of warm-up.
    """
    recent = looks[-_LOOKS_IN_A_ROW:]
    if len(recent) < _LOOKS_IN_A_ROW or recent[0]["step"] < max(warmup_steps, _SETTLED_AFTER):
        return ""
    spreads = [_spread(look) for look in (looks[0], *recent)]
    if all(spread < _SHARE_OF_UNTRAINED_SPREAD * spreads[0] for spread in spreads[1:]):
        return POINT
    least = min(_LEAST_RANK, 1 + embedding_dim / 8)
    if all(look["effective_rank"] < least for look in recent):
        return LINE
    return ""


def _spread(look: Look) -> float:
    """How far views of different cells point apart, 0 to 2; nan, which is never less, for one cell only."""
    cosine = look["cosine_negative"]
    return math.nan if cosine is None else 1 - cosine


def describe(kind: str, looks: Sequence[Look]) -> str:
    """The warning, in words and numbers, for a kind of collapse at the last look."""
    first, last = looks[0], looks[-1]
    how = {
        POINT: f"the mean cosine of views of different cells is {last['cosine_negative']:.6f}, that of the "
        f"untrained network was {first['cosine_negative']:.6f}",
        LINE: f"the effective rank of the embeddings is {last['effective_rank']:.2f}, that of the untrained "
        f"network was {first['effective_rank']:.2f}",
    }[kind]
    return (
        f"the encoder is collapsing to a {kind} at step {last['step']}: {how}. Stop, and train in another "
        "folder with a lower train.learning_rate, a larger train.batch_pairs or milder train.augment"
    )
