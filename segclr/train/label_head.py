"""The last layer of a supervised network: classes from its embeddings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segclr import files
from segclr.errors import CorruptDataError

__all__ = ["LabelHead"]


@dataclass(frozen=True, eq=False)
class LabelHead:
    """The last, linear layer: classes from embeddings of the encoder it was trained with.

    Attributes:
        classes: [k] names, sorted.
        weight: float32 [k, d].
        bias: float32 [k].
    """

    classes: NDArray[np.str_]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    def predict_proba(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities float32 [n, k] of embeddings [n, d]."""
        logits = embeddings @ self.weight.T + self.bias
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True), dtype=np.float32)

    def predict(self, embeddings: NDArray[np.float32]) -> NDArray[np.str_]:
        """The likeliest class of each embedding."""
        return np.asarray(self.classes[self.predict_proba(embeddings).argmax(axis=1)])

    def save(self, url: str) -> None:
        """Write it as one JSON file."""
        tree = {
            "classes": self.classes.tolist(),
            "weight": self.weight.tolist(),
            "bias": self.bias.tolist(),
        }
        files.write_json(url, tree)

    @classmethod
    def load(cls, url: str) -> LabelHead:
        """Read what :meth:`save` wrote.

        Raises:
            MissingDataError: there is no such file.
            CorruptDataError: it is something else.
        """
        tree = files.read_json(url)
        try:
            weight, bias = (np.array(tree[name], dtype=np.float32) for name in ("weight", "bias"))
            classes: NDArray[np.str_] = np.array(tree["classes"], dtype=str)
            if weight.ndim != 2 or bias.shape != classes.shape or len(weight) != len(classes):
                msg = f"weight is {weight.shape}, bias {bias.shape}, classes {classes.shape}"
                raise ValueError(msg)
        except (KeyError, TypeError, ValueError) as error:
            msg = f"{url} holds no head of a supervised network: {error}"
            raise CorruptDataError(msg) from error
        return cls(classes, weight, bias)
