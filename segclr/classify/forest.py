"""The baseline an encoder has to beat: a random forest on simple features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from segclr.classify.evaluate import Evaluation, evaluate
from segclr.classify.split import Split, check_no_leak
from segclr.errors import DataError

__all__ = ["forest_baseline", "forest_classifier"]

_N_TREES = 200


def forest_classifier(*, seed: int) -> RandomForestClassifier:
    """A class-balanced random forest, not fitted, of one thread."""
    return RandomForestClassifier(_N_TREES, class_weight="balanced", random_state=seed, n_jobs=1)


def forest_baseline(
    features: NDArray[np.floating],
    classes: NDArray[np.str_],
    split: Split,
    *,
    seed: int,
    groups: NDArray[np.generic] | None = None,
) -> Evaluation:
    """Fit a class-balanced random forest on the training rows and judge it on the test rows.

    Args:
        features: [n, k], finite, such as the ten simple features of a cube.
        classes: str [n].
        split: rows of the two arrays, divided by segment.
        seed: of the forest and of the bootstrap.
        groups: [n], the cell of each row, for the interval of the score; see :func:`evaluate`.

    Raises:
        DataError: lengths differ or a feature is not finite.
        LabelError: a cell stands on both sides.
    """
    if groups is not None:
        check_no_leak(groups[split.train], groups[split.test])
    if features.ndim != 2 or len(features) != len(classes) or not np.isfinite(features).all():
        msg = f"features must be finite [n, k] with n = {len(classes)} classes, got {features.shape}"
        raise DataError(msg)
    forest = forest_classifier(seed=seed)
    forest.fit(features[split.train], classes[split.train])
    return evaluate(
        classes[split.test],
        forest.predict(features[split.test]),
        np.unique(classes),
        groups=None if groups is None else groups[split.test],
        seed=seed,
    )
