"""Label efficiency: how good a classifier is with 10 labels, with 30, and so on to all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segclr.classify.estimator import UncertainClassifier, fresh
from segclr.classify.evaluate import Evaluation, evaluate
from segclr.classify.few_labels import draw_labelled
from segclr.classify.split import Split, check_no_leak
from segclr.errors import ConfigError, LabelError

__all__ = ["SweepRow", "label_sweep"]


@dataclass(frozen=True, kw_only=True)
class SweepRow:
    """One subsample of the labels.

    Attributes:
        n_labels: training rows.
        repeat: number of the draw; within one, the labels of fewer are among those of more.
        n_cells: cells of the training rows.
        with_groups: whether the classifier was given the cells, to choose and calibrate by; not where it
            refused to, for a class was on too few of them.
        evaluation: of all test rows.
    """

    n_labels: int
    repeat: int
    n_cells: int
    with_groups: bool
    evaluation: Evaluation

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON: the setting beside :meth:`Evaluation.to_dict`."""
        names = ("n_labels", "repeat", "n_cells", "with_groups")
        # the cells of the evaluation are those judged
        judged = {"n_test_cells" if k == "n_cells" else k: v for k, v in self.evaluation.to_dict().items()}
        return {name: getattr(self, name) for name in names} | judged


def label_sweep(
    classifier: UncertainClassifier,
    X: NDArray[np.floating],
    y: NDArray[np.str_],
    groups: NDArray[np.generic],
    split: Split,
    *,
    n_labels: Sequence[int],
    repeats: int = 5,
    seed: int = 0,
) -> list[SweepRow]:
    """Fit on more and more of the training rows and judge each fit on all test rows.

    Args:
        classifier: whose parameters to use; it is neither fitted nor changed.
        X: [n, d].
        y: str [n].
        groups: [n], the cell of each row.
        split: by cell.
        n_labels: numbers of training rows; numbers beyond all of them are cut to all, which is drawn once.
        repeats: draws over cells, see :func:`~segclr.classify.few_labels.draw_labelled`.
        seed: of the first draw, the next has one more; that of the classifier is its own.

    Raises:
        ConfigError: no repeat or no number.
        LabelError: a cell on both sides, fewer labels than classes, or a class of the test rows that no
            training row has.
    """
    classes = np.asarray(y, dtype=str)
    check_no_leak(groups[split.train], groups[split.test])
    missing = np.setdiff1d(classes[split.test], classes[split.train])
    if len(missing):
        msg = f"test rows of class {', '.join(missing)}, of which there is no training row"
        raise LabelError(msg)
    if repeats < 1 or not len(n_labels):
        msg = f"a sweep takes one repeat and one number of labels or more, got {repeats} and {list(n_labels)}"
        raise ConfigError(msg)
    n_train = len(split.train)
    found = []
    for n in sorted({min(n, n_train) for n in n_labels}):
        for repeat in range(repeats if n < n_train else 1):  # all rows are the same in every draw
            drawn = draw_labelled(classes[split.train], n=n, seed=seed + repeat, groups=groups[split.train])
            train = split.train[drawn]
            found.append(_row(classifier, X, classes, groups, train, split.test, repeat=repeat, seed=seed))
    return found


def _row(
    classifier: UncertainClassifier,
    X: NDArray[np.floating],
    classes: NDArray[np.str_],
    groups: NDArray[np.generic],
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    *,
    repeat: int,
    seed: int,
) -> SweepRow:
    names = np.unique(classes)
    y, cells = classes[train], groups[train]
    try:
        model, with_groups = fresh(classifier).fit(X[train], y, cells), True
    except LabelError:
        model, with_groups = fresh(classifier).fit(X[train], y), False
    return SweepRow(
        n_labels=len(train),
        repeat=repeat,
        n_cells=len(np.unique(cells)),
        with_groups=with_groups,
        evaluation=evaluate(classes[test], model.predict(X[test]), names, groups=groups[test], seed=seed),
    )
