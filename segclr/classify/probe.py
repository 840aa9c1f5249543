"""A small linear probe: what a frozen embedding says about labels, judged on cells it was not fitted on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import StratifiedGroupKFold

from segclr.classify.evaluate import evaluate
from segclr.classify.linear import LinearClassifier
from segclr.errors import LabelError

__all__ = ["probe_macro_f1"]


def probe_macro_f1(
    embeddings: ArrayLike, classes: NDArray[np.str_], groups: NDArray[np.int64], *, seed: int = 0
) -> float:
    """Macro F1 of a logistic regression, fitted on half of the cells and judged on the other, both ways.

    Args:
        embeddings: [n, d].
        classes: str [n]; a class on one cell only is left out, it cannot be on both sides.
        groups: integer [n], a number for each row's cell.
        seed: of the halves.

    Raises:
        LabelError: fewer than two classes are on two cells or more.
    """
    values: NDArray[Any] = np.asarray(embeddings, dtype=np.float64)
    n_cells = {str(name): len(np.unique(groups[classes == name])) for name in np.unique(classes)}
    known = sorted(name for name, n in n_cells.items() if n >= 2)
    if len(known) < 2:
        msg = f"a probe needs two classes on at least two cells each, got cells by class {n_cells}"
        raise LabelError(msg)
    kept = np.isin(classes, known)
    values, classes, groups = values[kept], classes[kept], groups[kept]
    guesses = classes.copy()
    halves = StratifiedGroupKFold(2, shuffle=True, random_state=seed)
    for fit, judge in halves.split(values, classes, groups):
        guesses[judge] = LinearClassifier(C=1.0).fit(values[fit], classes[fit]).predict(values[judge])
    return float(evaluate(classes, guesses, known).macro_f1)
