"""Weights as bytes."""

import pytest
import torch
from torch import nn

from segclr.errors import CorruptDataError, EncoderError
from segclr.model.weights import load_weights, weights_from_bytes, weights_sha256, weights_to_bytes


def test_weights_survive_the_round_trip_and_equal_weights_are_equal_bytes():
    network = nn.Sequential(nn.Conv3d(2, 3, 3), nn.BatchNorm3d(3))
    content = weights_to_bytes(network)
    other = nn.Sequential(nn.Conv3d(2, 3, 3), nn.BatchNorm3d(3))
    load_weights(other, weights_from_bytes(content))
    assert weights_to_bytes(other) == content
    assert weights_sha256(other) == weights_sha256(network)


def test_the_memory_layout_is_not_part_of_the_weights():
    network = nn.Conv3d(2, 3, 3)
    before = weights_to_bytes(network), weights_sha256(network)
    network.to(memory_format=torch.channels_last_3d)
    assert (weights_to_bytes(network), weights_sha256(network)) == before


def test_bytes_that_are_not_safetensors_are_refused():
    with pytest.raises(CorruptDataError, match="safetensors"):
        weights_from_bytes(b"\x80\x04 a pickle, perhaps")


def test_tensors_that_do_not_fit_are_named():
    weights = {"weight": torch.zeros(4, 2), "extra": torch.zeros(1)}
    with pytest.raises(
        EncoderError, match=r"bias is missing; extra is unknown; weight has shape \(4, 2\), allowed \(3, 2\)"
    ):
        load_weights(nn.Linear(2, 3), weights)
