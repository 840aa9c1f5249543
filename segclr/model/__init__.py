"""Encoders: the network, its weights on disk, and the losses that train it. Imports torch."""

from segclr.model.checkpoint import load_encoder
from segclr.model.encoder import Encoder
from segclr.model.heads import MlpHead
from segclr.model.inference import encode
from segclr.model.loss import NtXent
from segclr.model.network import EncoderNetwork, build_network
from segclr.model.precision import has_fast_bfloat16, resolve_device, resolve_precision
from segclr.model.resnet3d import ResNet3d

__all__ = [
    "Encoder",
    "EncoderNetwork",
    "MlpHead",
    "NtXent",
    "ResNet3d",
    "build_network",
    "encode",
    "has_fast_bfloat16",
    "load_encoder",
    "resolve_device",
    "resolve_precision",
]
