"""Classifiers on embeddings, splits by cell, and what they are judged by; nothing here imports torch."""

from segclr.classify.evaluate import UNKNOWN, Evaluation, evaluate
from segclr.classify.few_labels import draw_labelled
from segclr.classify.forest import forest_baseline, forest_classifier
from segclr.classify.labels import Joined, Labels, join_labels
from segclr.classify.linear import LinearClassifier
from segclr.classify.merge_evaluation import MergeProtocol, MergeResult, evaluate_merges
from segclr.classify.merges import MergeFinder, MergeScores, fit_merge_finder
from segclr.classify.retrieval import RetrievalResult, retrieval
from segclr.classify.split import Split, check_no_leak, split_by_segment, split_from_segments
from segclr.classify.uncertainty import call_unknown, normalised_entropy

__all__ = [
    "UNKNOWN",
    "Evaluation",
    "Joined",
    "Labels",
    "LinearClassifier",
    "MergeFinder",
    "MergeProtocol",
    "MergeResult",
    "MergeScores",
    "RetrievalResult",
    "Split",
    "call_unknown",
    "check_no_leak",
    "draw_labelled",
    "evaluate",
    "evaluate_merges",
    "fit_merge_finder",
    "forest_baseline",
    "forest_classifier",
    "join_labels",
    "normalised_entropy",
    "retrieval",
    "split_by_segment",
    "split_from_segments",
]
