"""SegCLR: contrastive embeddings of every place on every cell of an EM volume.

The public names are looked up when first used, so that ``import segclr`` is fast and everything that
reads, aggregates and fits linear classifiers works without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from segclr._version import __version__
from segclr.geometry import BoundingBox

if TYPE_CHECKING:
    from segclr import classify, explore
    from segclr.aggregate.pool import aggregate
    from segclr.data.access import Access
    from segclr.data.cubes import cut_cubes
    from segclr.data.volume import open_volume
    from segclr.model.checkpoint import load_encoder
    from segclr.model.tensorflow_import import import_tensorflow_checkpoint
    from segclr.store.embeddings import EmbeddingTable, open_embeddings

__all__ = [
    "Access",
    "BoundingBox",
    "EmbeddingTable",
    "__version__",
    "aggregate",
    "classify",
    "cut_cubes",
    "explore",
    "import_tensorflow_checkpoint",
    "load_encoder",
    "open_embeddings",
    "open_volume",
]

_PACKAGES = ("aggregate", "classify", "explore")
_HOME = {
    "Access": "segclr.data.access",
    "EmbeddingTable": "segclr.store.embeddings",
    "cut_cubes": "segclr.data.cubes",
    "import_tensorflow_checkpoint": "segclr.model.tensorflow_import",
    "load_encoder": "segclr.model.checkpoint",
    "open_embeddings": "segclr.store.embeddings",
    "open_volume": "segclr.data.volume",
}


def __getattr__(name: str) -> Any:
    """Import a public name's module when the name is first used (PEP 562)."""
    if name in _PACKAGES:
        return importlib.import_module(f"segclr.{name}")
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    msg = f"module 'segclr' has no attribute {name!r}"
    raise AttributeError(msg)
