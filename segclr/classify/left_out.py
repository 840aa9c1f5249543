"""The trial of "unknown": train without a class, and see whether its cells are found to be of none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segclr.classify.estimator import UncertainClassifier, fresh
from segclr.classify.evaluate import Evaluation, evaluate
from segclr.classify.split import Split, check_no_leak
from segclr.classify.unknown import Detection, detection
from segclr.errors import LabelError

__all__ = ["LeftOut", "leave_one_class_out"]


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """One class left out.

    Attributes:
        left_out: its name.
        detection: how its test rows differ in uncertainty from the test rows of the other classes.
        known: how the other classes' test rows are told apart, with no threshold.
        n_train: rows fitted on.
    """

    left_out: str
    detection: Detection
    known: Evaluation
    n_train: int


def leave_one_class_out(
    classifier: UncertainClassifier,
    X: NDArray[np.floating],
    y: NDArray[np.str_],
    groups: NDArray[np.generic],
    split: Split,
    *,
    left_out: Sequence[str] | None = None,
    seed: int = 0,
) -> list[LeftOut]:
    """Fit without each class in turn, on the training rows of the others, and judge all test rows.

    Args:
        classifier: whose parameters to use; it is neither fitted nor changed.
        X: [n, d].
        y: str [n].
        groups: [n], the cell of each row.
        split: by cell.
        left_out: classes to leave out; all of them if not given.
        seed: of the bootstraps.

    Raises:
        LabelError: fewer than three classes, a class that does not occur or has no test row, or a cell
            on both sides.
    """
    classes = np.asarray(y, dtype=str)
    check_no_leak(groups[split.train], groups[split.test])
    names = np.unique(classes)
    wanted = [str(name) for name in (names if left_out is None else left_out)]
    strange = [name for name in wanted if name not in classes[split.test]]
    if len(names) < 3 or strange:
        msg = (
            f"leaving a class out takes three classes or more, and test rows of each that is left out; got "
            f"{', '.join(names)}; without test rows: {', '.join(strange) or 'none'}"
        )
        raise LabelError(msg)
    truth, cells = classes[split.test], groups[split.test]
    found = []
    for name in wanted:
        rows = split.train[classes[split.train] != name]
        model = fresh(classifier).fit(X[rows], classes[rows], groups[rows])
        is_unknown = truth == name
        known = split.test[~is_unknown]
        found.append(
            LeftOut(
                left_out=name,
                detection=detection(model.uncertainty(X[split.test]), is_unknown, groups=cells, seed=seed),
                known=evaluate(
                    classes[known],
                    model.predict(X[known]),
                    names[names != name],
                    groups=groups[known],
                    seed=seed,
                ),
                n_train=len(rows),
            )
        )
    return found
