"""What all classifiers ask of their input, told in the project's errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from segclr.errors import ConfigError, DataError, LabelError

__all__ = [
    "centre_and_scale",
    "check_class_weight",
    "checked_groups",
    "directions",
    "rows_to_classify",
    "rows_to_fit",
]


def rows_to_fit(
    estimator: BaseEstimator, X: ArrayLike, y: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[Any], NDArray[np.int64]]:
    """Finite vectors [n, d], sorted classes [k] and the number of each row's class [n].

    Raises:
        DataError: X or y cannot be used: not finite, of differing lengths, no rows.
        LabelError: fewer than two classes, or y holds numbers that are no classes.
    """
    try:
        values, given = validate_data(estimator, X, y, dtype=np.float64, ensure_min_samples=2)
    except ValueError as error:
        raise DataError(_in_one_line(estimator, error)) from error
    if given.dtype.kind == "O" and any(c is None for c in given.tolist()):
        msg = "y has rows without a class (None); leave unlabelled rows out"
        raise DataError(msg)
    try:
        check_classification_targets(given)
    except ValueError as error:
        raise LabelError(_in_one_line(estimator, error)) from error
    classes, target = np.unique(given, return_inverse=True)
    if len(classes) < 2:
        msg = f"a classifier needs at least two classes, got one class: {classes[0]}"
        raise LabelError(msg)
    return values, classes, target


def check_class_weight(class_weight: Any, classes: NDArray[Any]) -> None:
    """Refuse weights that would silently be none.

    Raises:
        ConfigError: neither None nor "balanced" nor a mapping, or one that names a class there is not.
    """
    if class_weight is None or (isinstance(class_weight, str) and class_weight == "balanced"):
        return
    if not isinstance(class_weight, Mapping):
        msg = f"class_weight is None, 'balanced' or a mapping of classes to weights, got {class_weight!r}"
        raise ConfigError(msg)
    strange = [name for name in class_weight if name not in classes.tolist()]
    if strange:
        msg = f"class_weight names {', '.join(map(repr, strange))}, but the classes are {classes.tolist()}"
        raise ConfigError(msg)


def rows_to_classify(estimator: BaseEstimator, X: ArrayLike) -> NDArray[np.float64]:
    """Finite vectors as long as those fitted, [n, d].

    Raises:
        DataError: X is not finite or its vectors have another length.
    """
    check_is_fitted(estimator)
    try:
        values: NDArray[np.float64] = validate_data(estimator, X, dtype=np.float64, reset=False)
    except ValueError as error:
        raise DataError(_in_one_line(estimator, error)) from error
    return values


def checked_groups(
    groups: ArrayLike, classes: NDArray[Any], target: NDArray[np.int64], *, purpose: str
) -> tuple[NDArray[Any], int]:
    """The cell of each row, [n], and the fewest cells that any class has.

    Args:
        groups: [n].
        classes: [k], names for the message.
        target: [n], number of each row's class.
        purpose: what the cells are needed for, such as "choosing C", and what to do without.

    Raises:
        LabelError: lengths differ, or a class has rows of one cell only, which cannot be on two sides.
    """
    cells = np.asarray(groups)
    if cells.shape != target.shape:
        msg = f"groups must name the cell of each of {len(target)} rows, got shape {cells.shape}"
        raise LabelError(msg)
    n_cells = np.array([len(np.unique(cells[target == k])) for k in range(len(classes))])
    if n_cells.min() < 2:
        msg = f"class {', '.join(str(c) for c in classes[n_cells < 2])} has rows of one group only; {purpose}"
        raise LabelError(msg)
    return cells, int(n_cells.min())


def _in_one_line(estimator: BaseEstimator, error: ValueError) -> str:
    """What scikit-learn says is wrong, without its advice to take another of its own estimators."""
    advice = f"\n{type(estimator).__name__} does not accept"
    return " ".join(str(error).partition(advice)[0].split())


def directions(X: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of length 1, [n, d]; rows of zeros have no direction and stay."""
    length = np.linalg.norm(X, axis=1, keepdims=True)
    return np.asarray(X / np.where(length > 0, length, 1.0), dtype=np.float64)


def centre_and_scale(
    X: NDArray[np.float64], *, together: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and spread of each dimension, [d] each; a dimension that never changes has the spread 1.

    Args:
        X: [n, d].
        together: all dimensions have one spread, their root mean square, so that directions keep their angles
            and a dimension in which little happens stays small.
    """
    mean, spread = X.mean(axis=0), X.std(axis=0)
    # A spread of rounding errors is none: to divide by it would blow them up.
    constant = spread <= 10 * np.finfo(np.float64).eps * np.abs(mean)
    if together and not constant.all():
        return mean, np.full(len(spread), np.sqrt(np.mean(np.square(spread))))
    return mean, np.where(constant, 1.0, spread)
