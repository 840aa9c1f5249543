"""Contrastive training of encoders. Imports torch and Lightning."""

from segclr.train.augment import (
    ViewParameters,
    apply_views,
    center_views,
    draw_views,
    random_views,
)
from segclr.train.batch import PairBatch
from segclr.train.dataset import ArrayCubes, CubeSource, PairDataset, PairRows
from segclr.train.fit import TrainingData, train_encoder
from segclr.train.label_head import LabelHead
from segclr.train.supervised import train_supervised
from segclr.train.volume_cubes import VolumeCubes

__all__ = [
    "ArrayCubes",
    "CubeSource",
    "LabelHead",
    "PairBatch",
    "PairDataset",
    "PairRows",
    "TrainingData",
    "ViewParameters",
    "VolumeCubes",
    "apply_views",
    "center_views",
    "draw_views",
    "random_views",
    "train_encoder",
    "train_supervised",
]
