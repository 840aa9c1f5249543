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
from sklearn.utils.validation import check_is_fitted

from segclr.classify.inputs import check_class_weight, checked_groups, rows_to_classify, rows_to_fit
from segclr.classify.storage import Stored, load_stored, plain_class_weight, read_class_weight, save_stored
from segclr.classify.temperature import fit_temperature
from segclr.classify.uncertainty import call_unknown, normalised_entropy
from segclr.errors import ConfigError, LabelError

__all__ = ["LinearClassifier"]

_MAX_FOLDS = 5
_SOLVERS = ("auto", "liblinear", "lbfgs", "saga")
# Up to here liblinear took half of lbfgs' time (two classes, 100 rows of 64: 1.3 against 2.2 ms), from 1,000
# on twice. saga was slower up to 200,000 rows (six classes: 7.3 against 1.4 s), so it runs on request only.
_LIBLINEAR_ROWS = 300
# liblinear penalises the intercept as it does the weights; so scaled, probabilities differ from lbfgs' by its
# tolerance (0.005), unscaled by up to 0.2.
_INTERCEPT_SCALING = 100.0


class LinearClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Logistic regression on standardised embeddings; a scikit-learn estimator.

    Args:
        C: inverse strength of the L2 penalty. None: chosen from ``C_grid`` by cross-validated macro F1
            when ``fit`` is given groups, else 1.
        C_grid: candidates; of equal ones the smallest wins.
        class_weight: "balanced" weighs classes by inverse frequency, None does not; or a mapping.
        solver: of scikit-learn's LogisticRegression; "auto" goes by the size, see :meth:`solver_for`.
        calibrate: where ``fit`` is given groups, divide the scores by a temperature that is fitted on rows of
            cells left out of the fit.
        max_iter: most iterations of the solver.
        random_state: seed of the folds, and of the solvers that draw.

    Attributes:
        classes_: sorted classes, [k].
        coef_, intercept_: float64 [k, d] and [k], on standardised embeddings; for two classes the
            first row is 0, so that the softmax of the scores is always the probability.
        mean_, scale_: float64 [d], of the standardisation.
        C_: the penalty that was used.
        temperature_: the scores are divided by it; 1 where nothing was calibrated.
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
        solver: str = "auto",
        calibrate: bool = True,
        max_iter: int = 1000,
        random_state: int = 0,
    ) -> None:
        """Keep the parameters untouched, as scikit-learn's ``clone`` needs."""
        self.C = C
        self.C_grid = C_grid
        self.class_weight = class_weight
        self.solver = solver
        self.calibrate = calibrate
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Learn from labelled embeddings.

        Args:
            X: [n, d], finite.
            y: [n], at least two classes.
            groups: [n], the cell or segment of each row: folds that choose C and the temperature never
                divide one. Without, C is 1 unless it is given, and nothing is calibrated.

        Raises:
            ConfigError: the solver is unknown or cannot tell so many classes, C is not above 0, or a weight
                given to what is no class.
            DataError: X or y cannot be used: not finite, of differing lengths, no rows.
            LabelError: fewer than two classes, or groups too few to choose C or calibrate by.
        """
        values, self.classes_, target = rows_to_fit(self, X, y)
        self._check_parameters()
        self.C_ = 1.0 if self.C is None else float(self.C)
        self.temperature_ = 1.0
        if groups is not None and (self.C is None or self.calibrate):
            self._choose_by_folds(values, target, groups)
        scaler, model = self._fit_one(values, target, self.C_)
        self.mean_, self.scale_ = scaler.mean_, scaler.scale_
        self.coef_, self.intercept_ = _of_every_class(model)
        self.n_iter_ = int(np.max(model.n_iter_))
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probability of each class in ``classes_``, float64 [n, k].

        Raises:
            DataError: X is not finite or its vectors have another length.
        """
        values = rows_to_classify(self, X)
        scores = (values - self.mean_) / self.scale_ @ self.coef_.T + self.intercept_
        probabilities: NDArray[np.float64] = softmax(scores / self.temperature_, axis=1)
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
        plain = {"C_grid": list(self.C_grid), "class_weight": plain_class_weight(self.class_weight)}
        params = self.get_params() | plain
        arrays = {name: getattr(self, f"{name}_") for name in ("coef", "intercept", "mean", "scale")}
        arrays |= {"C": np.array([self.C_]), "n_iter": np.array([self.n_iter_])}
        arrays |= {"temperature": np.array([self.temperature_])}
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
        weight = read_class_weight(stored.params["class_weight"])
        params = dict(stored.params) | {"C_grid": tuple(stored.params["C_grid"]), "class_weight": weight}
        model = cls(**params)
        model.classes_ = stored.classes
        for name in ("coef", "intercept", "mean", "scale"):
            setattr(model, f"{name}_", stored.arrays[name])
        model.C_, model.n_iter_ = float(stored.arrays["C"][0]), int(stored.arrays["n_iter"][0])
        model.temperature_ = float(stored.arrays["temperature"][0]) if "temperature" in stored.arrays else 1.0
        model.n_features_in_ = model.coef_.shape[1]
        return model

    def solver_for(self, n_rows: int) -> str:
        """The solver that ``solver`` means for a number of rows, of the classes in ``classes_``."""
        if self.solver != "auto":
            return self.solver
        return "liblinear" if len(self.classes_) == 2 and n_rows <= _LIBLINEAR_ROWS else "lbfgs"

    def _check_parameters(self) -> None:
        check_class_weight(self.class_weight, self.classes_)
        candidates = self.C_grid if self.C is None else (self.C,)
        if not len(candidates) or not all(C > 0 for C in candidates):
            msg = f"C must be above 0, and C_grid hold such; got C={self.C} and C_grid={tuple(self.C_grid)}"
            raise ConfigError(msg)
        if self.solver not in _SOLVERS:
            msg = f"solver must be {', '.join(_SOLVERS)}, got {self.solver!r}"
            raise ConfigError(msg)
        if self.solver == "liblinear" and len(self.classes_) > 2:
            msg = f"liblinear tells two classes apart, got {len(self.classes_)}: take another solver, or auto"
            raise ConfigError(msg)

    def _fit_one(self, X: NDArray[Any], target: NDArray[Any], C: float) -> tuple[Any, Any]:
        scaler = StandardScaler().fit(X)
        model = LogisticRegression(
            C=C,
            class_weight=self._weights(),
            solver=self.solver_for(len(X)),
            intercept_scaling=_INTERCEPT_SCALING,
            max_iter=self.max_iter,
            random_state=self.random_state,
        )
        return scaler, model.fit(scaler.transform(X), target)

    def _weights(self) -> str | dict[int, float] | None:
        """Class weights by position in ``classes_``, which is what the inner model is fitted on."""
        if not isinstance(self.class_weight, dict):
            return self.class_weight
        return {i: self.class_weight[c] for i, c in enumerate(self.classes_) if c in self.class_weight}

    def _choose_by_folds(self, X: NDArray[Any], target: NDArray[Any], groups: ArrayLike) -> None:
        """Set ``C_`` unless it is given, and ``temperature_``, by scores of rows of cells left out."""
        purpose = (
            "choosing C by cross-validation and calibrating take at least two groups of each: label more, or "
            "give C and calibrate=False"
        )
        cells, fewest = checked_groups(groups, self.classes_, target, purpose=purpose)
        folds = StratifiedGroupKFold(min(_MAX_FOLDS, fewest), shuffle=True, random_state=self.random_state)
        candidates = np.array([self.C_] if self.C is not None else self.C_grid, dtype=np.float64)
        f1 = np.zeros(len(candidates))
        scores: list[list[NDArray[np.float64]]] = [[] for _ in candidates]
        truth: list[NDArray[np.int64]] = []
        for fit, judge in folds.split(X, target, cells):
            if len(np.unique(target[fit])) < len(self.classes_):
                continue  # a small class fell whole into the judged fold: nothing fair to measure
            truth.append(target[judge])
            for i, C in enumerate(candidates):
                scaler, model = self._fit_one(X[fit], target[fit], C)
                coef, intercept = _of_every_class(model)
                judged = scaler.transform(X[judge]) @ coef.T + intercept
                scores[i].append(judged)
                f1[i] += f1_score(target[judge], judged.argmax(axis=1), average="macro", zero_division=0)
        if not truth:
            msg = f"whatever cells are left out, a class is left without rows; {purpose}"
            raise LabelError(msg)
        order = np.argsort(candidates, kind="stable")
        best = int(order[np.argmax(f1[order].round(9))])
        self.C_ = float(candidates[best])
        if self.calibrate:
            self.temperature_ = fit_temperature(np.concatenate(scores[best]), np.concatenate(truth))


def _of_every_class(model: LogisticRegression) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights [k, d] and intercepts [k]; of two classes the first has zeros."""
    if len(model.coef_) > 1:
        return model.coef_, model.intercept_
    return np.vstack([np.zeros_like(model.coef_), model.coef_]), np.append(0.0, model.intercept_)
