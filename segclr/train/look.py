"""One look at held-out pairs: all that is measured on their embeddings."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from segclr.train import monitor
from segclr.train.pair_retrieval import pair_retrieval
from segclr.train.watch import Distances

__all__ = ["Row", "look_at"]

Row = dict[str, Any]
"""A row of the history: numbers, None where nothing could be measured, and the text of ``collapse``."""


def look_at(embeddings: torch.Tensor, groups: NDArray[np.int64], distances: Distances | None) -> Row:
    """Measures of pairs, by column of ``history.csv``.

    Args:
        embeddings: [2n, d], the first views of n pairs, then the second ones in the same order.
        groups: int64 [n], a number for the cell of each pair.
        distances: of these pairs; None: no similarity by distance.
    """
    first, second = embeddings.chunk(2)
    cells = torch.from_numpy(groups)
    partners = monitor.cosine_of_partners(first, second)
    variances = monitor.dimension_variances(embeddings)
    row = {
        **asdict(pair_retrieval(first, second, cells)),
        "effective_rank": monitor.effective_rank(embeddings),
        "dead_dimensions": monitor.dead_dimensions(embeddings),
        "variance_min": float(variances.min()),
        "variance_median": float(variances.median()),
        "variance_max": float(variances.max()),
        "alignment": monitor.alignment(first, second),
        "uniformity": monitor.uniformity(embeddings),
        "cosine_negative": monitor.cosine_of_others(embeddings, cells.repeat(2)),
        "cosine_positive": float(partners.mean()),
        **({} if distances is None else distances.means(partners)),
    }
    return {name: None if math.isnan(value) else value for name, value in row.items()}
