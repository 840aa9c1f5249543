"""Classifiers on disk: arrays as safetensors, the rest as JSON, written last; no pickle anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from segclr import files
from segclr._version import __version__
from segclr.errors import CorruptDataError, EncoderError, LabelError

__all__ = ["Stored", "load_stored", "plain_class_weight", "read_class_weight", "save_stored"]

_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A classifier as plain values.

    Attributes:
        kind: name of the classifier's class.
        params: its constructor's parameters.
        classes: [k], strings, booleans or numbers.
        arrays: what it learned.
        encoder_digest: of the encoder whose embeddings it was fitted on; None if not recorded.
    """

    kind: str
    params: Mapping[str, Any]
    classes: NDArray[np.generic]
    arrays: Mapping[str, NDArray[np.generic]]
    encoder_digest: str | None = None


def save_stored(url: str, stored: Stored) -> None:
    """Write ``model.safetensors`` and then ``config.json``, which holds its checksum, into a folder.

    Raises:
        LabelError: the classes are neither strings nor booleans nor numbers.
    """
    classes = np.asarray(stored.classes)
    if classes.dtype.kind == "O" and all(isinstance(c, str) for c in classes):
        classes = classes.astype(str)
    if classes.dtype.kind not in "Ubiuf":
        msg = f"classes must be strings, booleans or numbers to be saved, got {classes.dtype}"
        raise LabelError(msg)
    arrays = {name: np.ascontiguousarray(array) for name, array in stored.arrays.items()}
    content = safetensors.numpy.save(arrays)
    files.write_bytes(files.join(url, "model.safetensors"), content)
    config = {
        "format": _FORMAT,
        "kind": stored.kind,
        "version": __version__,
        "params": dict(stored.params),
        "classes": classes.tolist(),
        "classes_dtype": classes.dtype.str,
        "encoder_digest": stored.encoder_digest,
        "sha256": files.sha256(content),
    }
    files.write_json(files.join(url, "config.json"), config)


def load_stored(url: str, *, kind: str, encoder_digest: str | None = None) -> Stored:
    """Read what :func:`save_stored` wrote.

    Args:
        url: the folder.
        kind: name of the class that is asked for.
        encoder_digest: of the encoder whose embeddings will be classified; compared if both are known.

    Raises:
        MissingDataError: there is no classifier.
        CorruptDataError: the files are damaged or of another kind.
        EncoderError: the classifier was fitted on embeddings of another encoder.
    """
    config = files.read_json(files.join(url, "config.json"))
    content = files.read_bytes(files.join(url, "model.safetensors"))
    try:
        found = config["kind"], config["format"]
        intact = config["sha256"] == files.sha256(content)
        stored = Stored(
            kind=config["kind"],
            params=config["params"],
            classes=np.array(config["classes"], dtype=config["classes_dtype"]),
            arrays=safetensors.numpy.load(content) if intact else {},
            encoder_digest=config["encoder_digest"],
        )
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        msg = f"{url} does not hold a classifier: {error!r}"
        raise CorruptDataError(msg) from error
    if found != (kind, _FORMAT) or not intact:
        msg = (
            f"{url}: expected a {kind} of format {_FORMAT} with its checksum, got {found[0]} of format "
            f"{found[1]}, checksum {'right' if intact else 'wrong: model.safetensors is damaged'}"
        )
        raise CorruptDataError(msg)
    if encoder_digest and stored.encoder_digest and encoder_digest != stored.encoder_digest:
        msg = (
            f"{url} was fitted on embeddings of encoder {stored.encoder_digest}, these are of "
            f"{encoder_digest}; fit it again"
        )
        raise EncoderError(msg)
    return stored


def plain_class_weight(class_weight: str | Mapping[Any, float] | None) -> str | list[list[Any]] | None:
    """Class weights for JSON, whose own keys would all become strings."""
    if class_weight is None or isinstance(class_weight, str):
        return class_weight
    return [[np.asarray(name).item(), float(weight)] for name, weight in class_weight.items()]


def read_class_weight(plain: str | list[list[Any]] | None) -> str | dict[Any, float] | None:
    """The inverse of :func:`plain_class_weight`."""
    return dict(plain) if isinstance(plain, list) else plain
