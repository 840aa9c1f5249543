"""Has an encoder collapsed: does it say the same, or nearly so, whatever it is shown?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segclr.explore.project import project

__all__ = ["describe_collapse"]

_SAME = 1e-4  # spread over length: an untrained encoder of random weights has about 0.1
_ONE_LINE = 0.999  # share of the variance on the first axis


def describe_collapse(embeddings: NDArray[np.floating], *, seed: int) -> str:
    """What is wrong with collapsed embeddings, as the rest of a sentence; empty where nothing is.

    Args:
        embeddings: [n, d], finite, of places that differ.
        seed: of the principal component analysis.
    """
    values = np.asarray(embeddings, dtype=np.float64)
    if len(values) < 3:
        return ""  # two points always lie on one line
    length = np.sqrt(np.square(values).sum(axis=1).mean())
    spread = np.sqrt(np.square(values - values.mean(axis=0)).sum(axis=1).mean())
    whose = f"its embeddings of {len(values):,} nodes"
    if spread <= _SAME * length:
        return f"{whose} are all equal, to within {100 * _SAME:g} % of their length"
    share = project(values, n_components=1, seed=seed).explained_variance_ratio[0]
    if values.shape[1] > 1 and share > _ONE_LINE:
        return f"{whose} lie on one line, which holds {100 * share:.2f} % of their variance"
    return ""
