"""Classifiers on embeddings, splits by cell, and what they are judged by; nothing here imports torch."""

from segclr.classify.attention import AttentionFit, fit_attention
from segclr.classify.evaluate import UNKNOWN, Evaluation, evaluate
from segclr.classify.forest import forest_baseline
from segclr.classify.labels import Joined, Labels, join_labels
from segclr.classify.linear import LinearClassifier
from segclr.classify.retrieval import RetrievalResult, retrieval
from segclr.classify.split import Split, check_no_leak, split_by_segment, split_from_segments
from segclr.classify.uncertainty import call_unknown, normalised_entropy

__all__ = [
    "UNKNOWN",
    "AttentionFit",
    "Evaluation",
    "Joined",
    "Labels",
    "LinearClassifier",
    "RetrievalResult",
    "Split",
    "call_unknown",
    "check_no_leak",
    "evaluate",
    "fit_attention",
    "forest_baseline",
    "join_labels",
    "normalised_entropy",
    "retrieval",
    "split_by_segment",
    "split_from_segments",
]
