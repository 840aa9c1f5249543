"""Figures and the report."""

from segclr.view.figures_benchmark import (
    LabelCurve,
    figure_label_efficiency,
    figure_reliability,
    label_columns,
)
from segclr.view.figures_confusion import confusion_columns, figure_confusions
from segclr.view.figures_embedding import OTHER, embedding_columns, figure_embedding
from segclr.view.figures_plan import figure_core_hours
from segclr.view.figures_scores import (
    Score,
    ScoreCurve,
    curve_columns,
    figure_f1_against_radius,
    figure_retrieval,
    figure_scores,
    retrieval_columns,
    score_columns,
)
from segclr.view.figures_skeleton import figure_edge_scores, figure_skeletons
from segclr.view.figures_training import TrainingCurve, figure_training, training_columns
from segclr.view.figures_volume import SliceView, figure_cubes, figure_section, figure_slices
from segclr.view.reading_training import read_training
from segclr.view.report import Illustration, Section, Table, columns_to_csv, render_report, write_report
from segclr.view.scatter_widget import scatter_widget

__all__ = [
    "OTHER",
    "Illustration",
    "LabelCurve",
    "Score",
    "ScoreCurve",
    "Section",
    "SliceView",
    "Table",
    "TrainingCurve",
    "columns_to_csv",
    "confusion_columns",
    "curve_columns",
    "embedding_columns",
    "figure_confusions",
    "figure_core_hours",
    "figure_cubes",
    "figure_edge_scores",
    "figure_embedding",
    "figure_f1_against_radius",
    "figure_label_efficiency",
    "figure_reliability",
    "figure_retrieval",
    "figure_scores",
    "figure_section",
    "figure_skeletons",
    "figure_slices",
    "figure_training",
    "label_columns",
    "read_training",
    "render_report",
    "retrieval_columns",
    "scatter_widget",
    "score_columns",
    "training_columns",
    "write_report",
]
