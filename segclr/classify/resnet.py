"""The residual classifier: a shallow network on embeddings that knows how far a vector is from the known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from segclr.classify.gaussian_process import GaussianProcessLayer
from segclr.classify.inputs import (
    centre_and_scale,
    check_class_weight,
    checked_groups,
    directions,
    rows_to_classify,
    rows_to_fit,
)
from segclr.classify.residual import ResidualNetwork
from segclr.classify.residual_fit import Schedule, fit_network, one_thread
from segclr.classify.split import split_by_segment
from segclr.classify.storage import Stored, load_stored, plain_class_weight, read_class_weight, save_stored
from segclr.classify.uncertainty import (
    MEAN_FIELD,
    call_unknown,
    dempster_shafer,
    mean_field_logits,
    normalised_entropy,
)
from segclr.errors import ConfigError, CorruptDataError
from segclr.model.precision import resolve_device

__all__ = ["ResNetClassifier"]

_ROWS_AT_ONCE = 8192  # of the final pass and of predictions: 128 MB of random features


class ResNetClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A residual network on standardised embeddings; a scikit-learn estimator.

    With ``gaussian_process`` it is the SNGP of Liu 2020 (10.48550/arXiv.2006.10108): residual blocks under a
    spectral bound keep distances, the last layer is a Gaussian process in random features, and its
    variance, from one exact pass over all rows after training, shrinks the logits of what lies far from them.

    Args:
        gaussian_process: the last layer; without it a dense one, and no variance.
        width: of the hidden space.
        n_blocks: residual blocks.
        spectral_bound: largest singular value of the blocks' layers; None: none.
        n_features: random features of the Gaussian process.
        kernel_scale: squared length of its kernel.
        ridge: precision of its prior.
        likelihood: "logistic" or "gaussian", how much a row adds to the precision; see
            :class:`~segclr.classify.gaussian_process.GaussianProcessLayer`.
        mean_field: factor of the variance; see :func:`~segclr.classify.uncertainty.mean_field_logits`.
        uncertainty_from: "dempster_shafer" or "entropy" of the shrunk logits, or "variance" of the Gaussian
            process as a share of its prior's, which tells how far a vector is from all rows, be it
            clearly on one class's side or not: what :meth:`uncertainty` answers.
        direction: see the direction of a vector alone, not its length; contrastive training compares
            directions.
        learning_rate: of Adam.
        l2: factor of the squared weights of the dense layers.
        epochs: most passes through the data; all are made where ``fit`` is given no groups.
        patience: epochs without improvement on held-out cells after which training ends.
        validation_share: share of the cells of each class that are held out for that.
        batch_size: rows.
        class_weight: "balanced" weighs classes by inverse frequency, None does not; or a mapping.
        device: auto, cpu, cuda or cuda:<n>.
        random_state: seed of the weights, the random features, the held-out cells and the order of rows.

    Attributes:
        classes_: sorted classes, [k].
        network_: the trained network, float64, on the device.
        mean_, scale_: float64 [d], of the standardisation; directions have one scale for all dimensions.
        n_features_in_: length of an embedding, d.
        n_iter_: epochs whose weights are kept.
    """

    def __init__(
        self,
        *,
        gaussian_process: bool = True,
        width: int = 128,
        n_blocks: int = 2,
        spectral_bound: float | None = 0.95,
        n_features: int = 2048,
        kernel_scale: float = 2.0,
        ridge: float = 1e-3,
        likelihood: Literal["logistic", "gaussian"] = "logistic",
        mean_field: float = MEAN_FIELD,
        uncertainty_from: Literal["dempster_shafer", "entropy", "variance"] = "dempster_shafer",
        direction: bool = False,
        learning_rate: float = 1e-3,
        l2: float = 1e-3,
        epochs: int = 100,
        patience: int = 10,
        validation_share: float = 0.2,
        batch_size: int = 128,
        class_weight: str | dict[Any, float] | None = "balanced",
        device: str = "auto",
        random_state: int = 0,
    ) -> None:
        """Keep the parameters untouched, as scikit-learn's ``clone`` needs."""
        self.gaussian_process = gaussian_process
        self.width = width
        self.n_blocks = n_blocks
        self.spectral_bound = spectral_bound
        self.n_features = n_features
        self.kernel_scale = kernel_scale
        self.ridge = ridge
        self.likelihood = likelihood
        self.mean_field = mean_field
        self.uncertainty_from = uncertainty_from
        self.direction = direction
        self.learning_rate = learning_rate
        self.l2 = l2
        self.epochs = epochs
        self.patience = patience
        self.validation_share = validation_share
        self.batch_size = batch_size
        self.class_weight = class_weight
        self.device = device
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Learn from labelled embeddings.

        Args:
            X: [n, d], finite.
            y: [n], at least two classes.
            groups: [n], the cell or segment of each row: training ends on held-out ones. Without, all
                epochs are run, for rows of one cell on both sides would tell nothing.

        Raises:
            ConfigError: a parameter is out of its range.
            DataError: X or y cannot be used: not finite, of differing lengths, no rows.
            LabelError: fewer than two classes, or a class on one cell only.
        """
        self._check_parameters()
        values, self.classes_, target = rows_to_fit(self, X, y)
        values = self._seen(values)
        self.mean_, self.scale_ = centre_and_scale(values, together=self.direction)
        check_class_weight(self.class_weight, self.classes_)
        weights = compute_class_weight(self.class_weight, classes=self.classes_, y=self.classes_[target])
        train, held_out = self._sides(target, groups)
        device = resolve_device(self.device)
        self.network_ = self._new_network().to(device)
        x = torch.from_numpy(self._standardised(values)).to(device, torch.float32)
        numbers = torch.from_numpy(target).to(device)
        with one_thread():
            self.n_iter_ = fit_network(
                self.network_,
                (x[train], numbers[train]),
                None if held_out is None else (x[held_out], numbers[held_out]),
                class_weight=torch.from_numpy(weights).to(device, torch.float32),
                ridge=self.ridge if self.gaussian_process else 0.0,
                schedule=Schedule(
                    learning_rate=self.learning_rate,
                    l2=self.l2,
                    spectral_bound=self.spectral_bound,
                    epochs=self.epochs,
                    patience=self.patience,
                    batch_size=self.batch_size,
                    seed=self.random_state,
                ),
            )
        self.network_ = self.network_.double().eval().requires_grad_(requires_grad=False)
        output = self.network_.output
        if isinstance(output, GaussianProcessLayer):
            output.fit_covariance(self._weighted_rows(x), n_rows=len(x))
        return self

    def logits(self, X: ArrayLike) -> NDArray[np.float64]:
        """Logits of the classes in ``classes_``, shrunk by their variance, float64 [n, k].

        Raises:
            DataError: X is not finite or its vectors have another length.
        """
        return self._outputs(X)[0]

    def _outputs(self, X: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Shrunk logits [n, k], and the variance of each row's as a share of its prior's, 0 to 1, [n]."""
        values = self._standardised(self._seen(rows_to_classify(self, X)))
        output = self.network_.output
        device = next(self.network_.parameters()).device
        found, shares = [], []
        for x in torch.split(torch.from_numpy(values), _ROWS_AT_ONCE):
            h = self.network_.hidden(x.to(device))
            logits = self.network_.logits_of(h).cpu().numpy()
            if isinstance(output, GaussianProcessLayer):
                variance = output.variance(h).cpu().numpy()
                logits = mean_field_logits(logits, variance, factor=self.mean_field)
                shares.append(np.clip(variance * self.ridge, 0.0, 1.0))
            found.append(logits)
        return np.concatenate(found), np.concatenate(shares or [np.zeros(len(values))])

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probability of each class in ``classes_``, float64 [n, k].

        Raises:
            DataError: X is not finite or its vectors have another length.
        """
        probabilities: NDArray[np.float64] = softmax(self.logits(X), axis=1)
        return probabilities

    def uncertainty(self, X: ArrayLike) -> NDArray[np.float64]:
        """0 (sure) to 1, float64 [n], by ``uncertainty_from``."""
        return self._uncertainty(*self._outputs(X))

    def predict(self, X: ArrayLike, *, unknown_above: float | None = None) -> NDArray[Any]:
        """The most probable class of each row; "unknown" where the uncertainty is above a threshold.

        Args:
            X: [n, d].
            unknown_above: 0 to 1; None always answers a class.
        """
        logits, share = self._outputs(X)
        answer: NDArray[Any] = self.classes_[logits.argmax(axis=1)]
        if unknown_above is None:
            return answer
        return call_unknown(answer, self._uncertainty(logits, share), unknown_above=unknown_above)

    def save(self, url: str, *, encoder_digest: str | None = None) -> None:
        """Write into a folder: ``model.safetensors`` and ``config.json``."""
        check_is_fitted(self)
        params = self.get_params() | {"class_weight": plain_class_weight(self.class_weight)}
        state = {name: value.cpu().numpy() for name, value in self.network_.state_dict().items()}
        stored = Stored(
            kind=type(self).__name__,
            params=params,
            classes=self.classes_,
            arrays={"mean": self.mean_, "scale": self.scale_, "n_iter": np.array([self.n_iter_]), **state},
            encoder_digest=encoder_digest,
        )
        save_stored(url, stored)

    @classmethod
    def load(cls, url: str, *, encoder_digest: str | None = None, device: str = "auto") -> ResNetClassifier:
        """Read what :meth:`save` wrote; it answers the same.

        Args:
            url: the folder.
            encoder_digest: of the encoder whose embeddings will be classified.
            device: to answer on, whatever it was fitted on.

        Raises:
            MissingDataError: there is no classifier.
            CorruptDataError: the files are damaged or of another kind.
            EncoderError: both digests are known and differ.
        """
        stored = load_stored(url, kind=cls.__name__, encoder_digest=encoder_digest)
        params = dict(stored.params) | {"class_weight": read_class_weight(stored.params["class_weight"])}
        model = cls(**params)
        arrays = dict(stored.arrays)
        model.classes_ = stored.classes
        model.mean_, model.scale_ = (np.asarray(arrays.pop(k), dtype=np.float64) for k in ("mean", "scale"))
        model.n_iter_, model.n_features_in_ = int(arrays.pop("n_iter")[0]), len(model.mean_)
        network = model._new_network().double().eval().requires_grad_(requires_grad=False)
        state = {name: torch.from_numpy(array) for name, array in arrays.items()}
        if isinstance(network.output, GaussianProcessLayer) and "output.root" in state:
            network.output.root = torch.empty_like(state["output.root"])  # its size goes by the rows seen
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            msg = f"{url}: the arrays do not fit the parameters beside them: {error}"
            raise CorruptDataError(msg) from error
        model.network_ = network.to(resolve_device(device))
        return model

    def _check_parameters(self) -> None:
        allowed = {
            "likelihood": ("logistic", "gaussian"),
            "uncertainty_from": ("dempster_shafer", "entropy", "variance"),
        }
        if self.uncertainty_from == "variance" and not self.gaussian_process:
            msg = "uncertainty_from is variance, which only a gaussian_process has"
            raise ConfigError(msg)
        if resolve_device(self.device).type == "mps":
            msg = f"device must be auto, cpu or cuda, got {self.device}: mps lacks the float64 of the answers"
            raise ConfigError(msg)
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                msg = f"{name} must be {' or '.join(values)}, got {getattr(self, name)!r}"
                raise ConfigError(msg)
        for name in (
            "width",
            "n_features",
            "kernel_scale",
            "ridge",
            "learning_rate",
            "epochs",
            "batch_size",
            "patience",
        ):
            if not getattr(self, name) > 0:
                msg = f"{name} must be above 0, got {getattr(self, name)}"
                raise ConfigError(msg)
        for name in ("n_blocks", "l2", "mean_field"):
            if not getattr(self, name) >= 0:
                msg = f"{name} must not be below 0, got {getattr(self, name)}"
                raise ConfigError(msg)
        if self.spectral_bound is not None and not self.spectral_bound > 0:
            msg = f"spectral_bound must be above 0, or None for none, got {self.spectral_bound}"
            raise ConfigError(msg)
        if not 0 < self.validation_share < 1:
            msg = f"validation_share must lie between 0 and 1, got {self.validation_share}"
            raise ConfigError(msg)

    def _sides(
        self, target: NDArray[np.int64], groups: ArrayLike | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
        """Rows to train on, and rows of other cells to end on."""
        if groups is None:
            return np.arange(len(target)), None
        purpose = "early stopping takes at least two groups of each: label more, or give no groups"
        cells, _ = checked_groups(groups, self.classes_, target, purpose=purpose)
        split = split_by_segment(
            cells,
            self.classes_[target].astype(str),
            test_share=self.validation_share,
            seed=self.random_state,
        )
        return split.train, split.test

    def _new_network(self) -> ResidualNetwork:
        """An untrained network; torch's own generator is left as it was."""
        n_outputs = len(self.classes_) if len(self.classes_) > 2 else 1
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.random_state)
            output: nn.Module = nn.Linear(self.width, n_outputs)
            if self.gaussian_process:
                output = GaussianProcessLayer(
                    self.width,
                    n_outputs,
                    n_features=self.n_features,
                    kernel_scale=self.kernel_scale,
                    ridge=self.ridge,
                )
            return ResidualNetwork(
                self.n_features_in_,
                width=self.width,
                n_blocks=self.n_blocks,
                output=output,
                spread=self.kernel_scale,
            )

    def _weighted_rows(self, x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Hidden vectors of all rows, and what each adds to the precision."""
        for rows in torch.split(x, _ROWS_AT_ONCE):
            h = self.network_.hidden(rows.double())
            weight = torch.ones(len(rows), dtype=torch.float64, device=x.device)
            if self.likelihood == "logistic":
                p = self.network_.logits_of(h).softmax(dim=1)
                weight = (p * (1 - p)).amax(dim=1)
            yield h, weight

    def _standardised(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((X - self.mean_) / self.scale_, dtype=np.float64)

    def _seen(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        return directions(X) if self.direction else X

    def _uncertainty(
        self, logits: NDArray[np.float64], variance_share: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        if self.uncertainty_from == "variance":
            return variance_share
        if self.uncertainty_from == "dempster_shafer":
            return dempster_shafer(logits)
        return normalised_entropy(softmax(logits, axis=1))
