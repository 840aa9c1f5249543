"""Classifiers on embeddings, splits by cell, and what they are judged by.

The residual classifier is looked up when first used (PEP 562): it imports torch, as
fitting an attention pooling does.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from segclr.classify.attention import AttentionFit, fit_attention
from segclr.classify.evaluate import UNKNOWN, Evaluation, evaluate
from segclr.classify.few_labels import draw_labelled
from segclr.classify.forest import forest_baseline, forest_classifier
from segclr.classify.label_sweep import SweepRow, label_sweep
from segclr.classify.labels import Joined, Labels, join_labels
from segclr.classify.left_out import LeftOut, leave_one_class_out
from segclr.classify.linear import LinearClassifier
from segclr.classify.merge_evaluation import MergeProtocol, MergeResult, evaluate_merges
from segclr.classify.merges import MergeFinder, MergeScores, fit_merge_finder
from segclr.classify.reliability import Reliability, reliability
from segclr.classify.retrieval import RetrievalResult, retrieval
from segclr.classify.split import Split, check_no_leak, split_by_segment, split_from_segments
from segclr.classify.threshold import Threshold, choose_threshold, threshold_for_rate
from segclr.classify.uncertainty import call_unknown, dempster_shafer, mean_field_logits, normalised_entropy
from segclr.classify.unknown import Detection, detection

if TYPE_CHECKING:
    from segclr.classify.resnet import ResNetClassifier

__all__ = [
    "UNKNOWN",
    "AttentionFit",
    "Detection",
    "Evaluation",
    "Joined",
    "Labels",
    "LeftOut",
    "LinearClassifier",
    "MergeFinder",
    "MergeProtocol",
    "MergeResult",
    "MergeScores",
    "Reliability",
    "ResNetClassifier",
    "RetrievalResult",
    "Split",
    "SweepRow",
    "Threshold",
    "call_unknown",
    "check_no_leak",
    "choose_threshold",
    "dempster_shafer",
    "detection",
    "draw_labelled",
    "evaluate",
    "evaluate_merges",
    "fit_attention",
    "fit_merge_finder",
    "forest_baseline",
    "forest_classifier",
    "join_labels",
    "label_sweep",
    "leave_one_class_out",
    "mean_field_logits",
    "normalised_entropy",
    "reliability",
    "retrieval",
    "split_by_segment",
    "split_from_segments",
    "threshold_for_rate",
]


def __getattr__(name: str) -> Any:
    """Import the residual classifier, and torch with it, when it is first asked for."""
    if name == "ResNetClassifier":
        return importlib.import_module("segclr.classify.resnet").ResNetClassifier
    msg = f"module 'segclr.classify' has no attribute {name!r}"
    raise AttributeError(msg)
