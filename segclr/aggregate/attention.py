"""Attention pooling: a mean over the neighbourhood with a learned weight for each node.

The attention of Ilse, Tomczak, Welling (ICML 2018, arXiv 1802.04712, equation 8): of a neighbourhood B,

    z = sum_{j in B} a_j x_j,   a_j = exp(s(x_j)) / sum_{k in B} exp(s(x_k)),
    s(x) = out . tanh(hidden x + bias)

Since the score of a node does not depend on whose neighbour it is, both sums are plain sums over the
neighbourhood, as fast as the mean. NumPy applies it; :func:`segclr.classify.fit_attention` fits it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from segclr import files
from segclr._version import __version__
from segclr.errors import ConfigError, CorruptDataError, DataError, EncoderError

__all__ = ["MAX_SCORE", "AttentionPooling"]

MAX_SCORE = 10.0
"""Bound of a score: weights differ by at most exp(20), which leaves a sum half of float64's digits."""

_FORMAT = 1
_BLOCK = 1 << 14  # embeddings held in float64 at once
_ARRAYS = ("hidden", "bias", "out")


@dataclass(frozen=True, kw_only=True, eq=False)
class AttentionPooling:
    """The scores' weights.

    Attributes:
        hidden: float32 [h, d].
        bias: float32 [h].
        out: float32 [h]; its absolute values sum to at most ``MAX_SCORE``.
        encoder_digest: of the encoder whose embeddings it was fitted on; None if not recorded.

    Raises:
        ConfigError: shapes do not fit, values are not finite, or scores could leave their bound.
    """

    hidden: NDArray[np.float32]
    bias: NDArray[np.float32]
    out: NDArray[np.float32]
    encoder_digest: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be applied."""
        for name in _ARRAYS:
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float32))
        shapes = [getattr(self, name).shape for name in _ARRAYS]
        if self.hidden.ndim != 2 or shapes[1:] != [self.hidden.shape[:1]] * 2:
            msg = f"hidden, bias and out must have shapes [h, d], [h], [h]; got {shapes}"
            raise ConfigError(msg)
        if not all(np.isfinite(getattr(self, name)).all() for name in _ARRAYS):
            msg = "the weights of an attention pooling must be finite"
            raise ConfigError(msg)
        if (total := float(np.abs(self.out).sum(dtype=np.float64))) > MAX_SCORE * (1 + 1e-5):
            msg = f"the absolute values of out must sum to at most {MAX_SCORE:g}, got {total:g}"
            raise ConfigError(msg)

    def weights(self, embeddings: NDArray[np.floating]) -> NDArray[np.float64]:
        """exp(score) of each embedding [n, d]: float64 [n].

        Raises:
            DataError: the embeddings are of another dimension.
        """
        if embeddings.ndim != 2 or embeddings.shape[1] != self.hidden.shape[1]:
            msg = f"attention pooling was fitted on {self.hidden.shape[1]} dimensions, got {embeddings.shape}"
            raise DataError(msg)
        hidden, out = self.hidden.T.astype(np.float64), self.out.astype(np.float64)
        weights = np.empty(len(embeddings))
        for begin in range(0, len(embeddings), _BLOCK):
            block = slice(begin, begin + _BLOCK)
            weights[block] = np.exp(np.tanh(embeddings[block].astype(np.float64) @ hidden + self.bias) @ out)
        return weights

    @property
    def digest(self) -> str:
        """Equal for equal weights."""
        return files.sha256(self._content())

    def save(self, url: str) -> None:
        """Write ``model.safetensors`` and then ``config.json``, which holds its checksum, into a folder."""
        content = self._content()
        files.write_bytes(files.join(url, "model.safetensors"), content)
        config = {
            "format": _FORMAT,
            "kind": type(self).__name__,
            "version": __version__,
            "encoder_digest": self.encoder_digest,
            "sha256": files.sha256(content),
        }
        files.write_json(files.join(url, "config.json"), config)

    @staticmethod
    def load(url: str, *, encoder_digest: str | None = None) -> AttentionPooling:
        """Read what :meth:`save` wrote.

        Args:
            url: the folder.
            encoder_digest: of the encoder whose embeddings will be pooled; compared if both are known.

        Raises:
            MissingDataError: there is none.
            CorruptDataError: the files are damaged or of another kind.
            EncoderError: it was fitted on embeddings of another encoder.
        """
        config = files.read_json(files.join(url, "config.json"))
        content = files.read_bytes(files.join(url, "model.safetensors"))
        if not isinstance(config, dict) or (config.get("kind"), config.get("format")) != (
            AttentionPooling.__name__,
            _FORMAT,
        ):
            msg = f"{url} is no attention pooling of format {_FORMAT}"
            raise CorruptDataError(msg)
        if files.sha256(content) != config.get("sha256"):
            msg = f"{url}/model.safetensors does not have the checksum that config.json tells"
            raise CorruptDataError(msg)
        fitted_on = config.get("encoder_digest")
        if None not in (fitted_on, encoder_digest) and fitted_on != encoder_digest:
            msg = f"{url} was fitted on embeddings of encoder {fitted_on}, these are of {encoder_digest}"
            raise EncoderError(msg)
        try:
            arrays = safetensors.numpy.load(content)
            return AttentionPooling(**{name: arrays[name] for name in _ARRAYS}, encoder_digest=fitted_on)
        except (SafetensorError, KeyError, ConfigError) as error:
            msg = f"{url}/model.safetensors cannot be read: {error}"
            raise CorruptDataError(msg) from error

    def _content(self) -> bytes:
        return safetensors.numpy.save({name: np.ascontiguousarray(getattr(self, name)) for name in _ARRAYS})
