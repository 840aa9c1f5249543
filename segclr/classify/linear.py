"""The linear classifier: standardised embeddings, L2 logistic regression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.preprocessing import StandardScaler
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from segclr.classify.storage import Stored, load_stored, save_stored
from segclr.classify.uncertainty import call_unknown, normalised_entropy
from segclr.errors import DataError, LabelError

__all__ = ["LinearClassifier"]

_MAX_FOLDS = 5


class LinearClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Logistic regression on standardised embeddings; a scikit-learn estimator.

    Args:
        C: inverse strength of the L2 penalty. None: chosen from ``C_grid`` by cross-validated macro F1
            when ``fit`` is given groups, else 1.
        C_grid: candidates; of equal ones the smallest wins.
        class_weight: "balanced" weighs classes by inverse frequency, None does not; or a mapping.
        max_iter: most iterations of the solver.
        random_state: seed of the folds.

    Attributes:
        classes_: sorted classes, [k].
        coef_, intercept_: float64 [k, d] and [k], on standardised embeddings; for two classes the
            first row is 0, so that the softmax of the scores is always the probability.
        mean_, scale_: float64 [d], of the standardisation.
        C_: the penalty that was used.
        n_features_in_: length of an embedding, d.
        n_iter_: iterations of the solver.

    Example:
        >>> X = np.array([[0.0, 1.0], [0.1, 0.9], [5.0, 1.0], [5.1, 1.1]])
        >>> LinearClassifier().fit(X, ["axon", "axon", "soma", "soma"]).predict([[4.9, 1.0]]).tolist()
        ['soma']
    """

    def __init__(
        self,
        *,
        C: float | None = None,
        C_grid: Sequence[float] = (0.001, 0.01, 0.1, 1.0, 10.0),
        class_weight: str | dict[Any, float] | None = "balanced",
        max_iter: int = 1000,
        random_state: int = 0,
    ) -> None:
        """Keep the parameters untouched, as scikit-learn's ``clone`` needs."""
        self.C = C
        self.C_grid = C_grid
        self.class_weight = class_weight
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Learn from labelled embeddings.

        Args:
            X: [n, d], finite.
            y: [n], at least two classes.
            groups: [n], the cell or segment of each row: folds that choose C never divide one.

        Raises:
            DataError: X or y cannot be used: not finite, of differing lengths, no rows.
            LabelError: fewer than two classes, or groups too few to choose C by.
        """
        values, classes = self._checked(X, y)
        check_classification_targets(classes)
        self.classes_, target = np.unique(classes, return_inverse=True)
        if len(self.classes_) < 2:
            msg = f"a classifier needs at least two classes, got one class: {self.classes_[0]}"
            raise LabelError(msg)
        self.C_ = 1.0 if self.C is None else float(self.C)
        if self.C is None and groups is not None:
            self.C_ = self._choose_penalty(values, target, np.asarray(groups))
        scaler, model = self._fit_one(values, target, self.C_)
        two = len(self.classes_) == 2
        self.mean_, self.scale_ = scaler.mean_, scaler.scale_
        self.coef_ = np.vstack([np.zeros_like(model.coef_), model.coef_]) if two else model.coef_
        self.intercept_ = np.append(0.0, model.intercept_) if two else model.intercept_
        self.n_iter_ = int(np.max(model.n_iter_))
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probability of each class in ``classes_``, float64 [n, k].

        Raises:
            DataError: X is not finite or its vectors have another length.
        """
        check_is_fitted(self)
        try:
            X = validate_data(self, X, dtype=np.float64, reset=False)
        except ValueError as error:
            raise DataError(_in_one_line(error)) from error
        scores = (X - self.mean_) / self.scale_ @ self.coef_.T + self.intercept_
        probabilities: NDArray[np.float64] = softmax(scores, axis=1)
        return probabilities

    def uncertainty(self, X: ArrayLike) -> NDArray[np.float64]:
        """Entropy of the predicted probabilities, 0 (sure) to 1 (no idea), float64 [n]."""
        return normalised_entropy(self.predict_proba(X))

    def predict(self, X: ArrayLike, *, unknown_above: float | None = None) -> NDArray[Any]:
        """The most probable class of each row; "unknown" where the uncertainty is above a threshold.

        Args:
            X: [n, d].
            unknown_above: 0 to 1; None always answers a class.
        """
        probabilities = self.predict_proba(X)
        answer: NDArray[Any] = self.classes_[probabilities.argmax(axis=1)]
        if unknown_above is None:
            return answer
        return call_unknown(answer, normalised_entropy(probabilities), unknown_above=unknown_above)

    def save(self, url: str, *, encoder_digest: str | None = None) -> None:
        """Write into a folder: ``model.safetensors`` and ``config.json``."""
        check_is_fitted(self)
        params = self.get_params() | {"C_grid": list(self.C_grid)}
        if isinstance(self.class_weight, dict):  # JSON's own keys would all become strings
            params["class_weight"] = [[np.asarray(c).item(), float(w)] for c, w in self.class_weight.items()]
        arrays = {name: getattr(self, f"{name}_") for name in ("coef", "intercept", "mean", "scale")}
        arrays |= {"C": np.array([self.C_]), "n_iter": np.array([self.n_iter_])}
        save_stored(
            url,
            Stored(
                kind=type(self).__name__,
                params=params,
                classes=self.classes_,
                arrays=arrays,
                encoder_digest=encoder_digest,
            ),
        )

    @classmethod
    def load(cls, url: str, *, encoder_digest: str | None = None) -> LinearClassifier:
        """Read what :meth:`save` wrote; it answers the same.

        Raises:
            MissingDataError: there is no classifier.
            CorruptDataError: the files are damaged or of another kind.
            EncoderError: both digests are known and differ.
        """
        stored = load_stored(url, kind=cls.__name__, encoder_digest=encoder_digest)
        params = dict(stored.params) | {"C_grid": tuple(stored.params["C_grid"])}
        if isinstance(params["class_weight"], list):
            params["class_weight"] = dict(params["class_weight"])
        model = cls(**params)
        model.classes_ = stored.classes
        for name in ("coef", "intercept", "mean", "scale"):
            setattr(model, f"{name}_", stored.arrays[name])
        model.C_, model.n_iter_ = float(stored.arrays["C"][0]), int(stored.arrays["n_iter"][0])
        model.n_features_in_ = model.coef_.shape[1]
        return model

    def _checked(self, X: ArrayLike, y: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
        try:
            values, classes = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        except ValueError as error:
            raise DataError(_in_one_line(error)) from error
        return values, classes

    def _fit_one(self, X: NDArray[Any], target: NDArray[Any], C: float) -> tuple[Any, Any]:
        scaler = StandardScaler().fit(X)
        model = LogisticRegression(C=C, class_weight=self._weights(), max_iter=self.max_iter)
        return scaler, model.fit(scaler.transform(X), target)

    def _weights(self) -> str | dict[int, float] | None:
        """Class weights by position in ``classes_``, which is what the inner model is fitted on."""
        if not isinstance(self.class_weight, dict):
            return self.class_weight
        return {i: self.class_weight[c] for i, c in enumerate(self.classes_) if c in self.class_weight}

    def _choose_penalty(self, X: NDArray[Any], target: NDArray[Any], groups: NDArray[Any]) -> float:
        if groups.shape != target.shape:
            msg = f"groups must name the cell of each of {len(target)} rows, got shape {groups.shape}"
            raise LabelError(msg)
        n_groups = np.array([len(np.unique(groups[target == k])) for k in range(len(self.classes_))])
        if n_groups.min() < 2:
            msg = (
                f"class {', '.join(str(c) for c in self.classes_[n_groups < 2])} has rows of one group only; "
                "choosing C by cross-validation takes at least two groups of each: label more, or give C"
            )
            raise LabelError(msg)
        folds = StratifiedGroupKFold(
            min(_MAX_FOLDS, n_groups.min()), shuffle=True, random_state=self.random_state
        )
        scores = np.zeros(len(self.C_grid))
        for fit, judge in folds.split(X, target, groups):
            if len(np.unique(target[fit])) < len(self.classes_):
                continue  # a small class fell whole into the judged fold: nothing fair to measure
            for i, C in enumerate(self.C_grid):
                scaler, model = self._fit_one(X[fit], target[fit], C)
                guess = model.predict(scaler.transform(X[judge]))
                scores[i] += f1_score(target[judge], guess, average="macro", zero_division=0)
        order = np.argsort(self.C_grid, kind="stable")
        return float(self.C_grid[order[np.argmax(scores[order].round(9))]])


def _in_one_line(error: ValueError) -> str:
    """What scikit-learn says is wrong, without its advice to take another of its own estimators."""
    return " ".join(str(error).partition("\nLinearClassifier does not accept")[0].split())
