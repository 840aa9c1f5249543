"""Classifiers on embeddings, splits by cell, and what they are judged by.

The residual classifier is looked up when first used (PEP 562): it alone imports torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from segclr.classify.evaluate import UNKNOWN, Evaluation, evaluate
from segclr.classify.few_labels import draw_labelled
from segclr.classify.forest import forest_baseline, forest_classifier
from segclr.classify.labels import Joined, Labels, join_labels
from segclr.classify.linear import LinearClassifier
from segclr.classify.retrieval import RetrievalResult, retrieval
from segclr.classify.split import Split, check_no_leak, split_by_segment, split_from_segments
from segclr.classify.uncertainty import call_unknown, dempster_shafer, mean_field_logits, normalised_entropy

if TYPE_CHECKING:
    from segclr.classify.resnet import ResNetClassifier

__all__ = [
    "UNKNOWN",
    "Evaluation",
    "Joined",
    "Labels",
    "LinearClassifier",
    "ResNetClassifier",
    "RetrievalResult",
    "Split",
    "call_unknown",
    "check_no_leak",
    "dempster_shafer",
    "draw_labelled",
    "evaluate",
    "forest_baseline",
    "forest_classifier",
    "join_labels",
    "mean_field_logits",
    "normalised_entropy",
    "retrieval",
    "split_by_segment",
    "split_from_segments",
]


def __getattr__(name: str) -> Any:
    """Import the residual classifier, and torch with it, when it is first asked for."""
    if name == "ResNetClassifier":
        return importlib.import_module("segclr.classify.resnet").ResNetClassifier
    msg = f"module 'segclr.classify' has no attribute {name!r}"
    raise AttributeError(msg)
