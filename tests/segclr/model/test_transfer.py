"""Starting from another encoder: every tensor is taken, absent, of another shape or unused."""

import logging

import pytest
import torch

from segclr.config import EncoderConfig
from segclr.errors import EncoderError, MissingDataError
from segclr.model import Encoder, build_network, load_encoder
from segclr.model.flops import gflop_per_cube
from segclr.model.network import starting_weights
from segclr.model.transfer import take_weights

DEEP = EncoderConfig(depth=18, width=0.125, stem="medium", bottleneck_hidden=16)
LEGACY = EncoderConfig(family="legacy")


def saved(config, folder, *, seed=1, voxel_size_nm=(32.0, 32.0, 40.0)):
    Encoder.untrained(config, voxel_size_nm=voxel_size_nm, size_vx=9, seed=seed).save(str(folder))
    return str(folder)


def accounted(config, transfer):
    own = set(build_network(config, seed=0).state_dict())
    groups = [set(transfer.taken), set(transfer.absent), set(transfer.reshaped)]
    assert set.union(*groups) == own
    assert sum(map(len, groups)) == len(own)
    assert not set(transfer.unused) & own


def test_a_shallower_network_takes_the_first_block_of_each_stage(tmp_path, caplog):
    url = saved(DEEP, tmp_path)
    shallow = DEEP.model_copy(update={"depth": 10, "init_from": url})
    with caplog.at_level(logging.INFO, logger="segclr.model.transfer"):
        network = build_network(shallow, seed=2)
    source = load_encoder(url).network.state_dict()
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, source[name]), name
    transfer = starting_weights(shallow)
    accounted(shallow, transfer)
    assert not transfer.absent
    assert not transfer.reshaped
    assert all(".1." in name for name in transfer.unused)
    assert transfer.unused
    assert f"tensors from {url} (made at 32x32x40 nm)" in caplog.text
    assert str(transfer) in caplog.text


def test_a_deeper_network_has_random_second_blocks(tmp_path):
    url = saved(DEEP.model_copy(update={"depth": 10}), tmp_path)
    deep = DEEP.model_copy(update={"init_from": url})
    network, random = build_network(deep, seed=2), build_network(DEEP, seed=2)
    transfer = starting_weights(deep)
    accounted(deep, transfer)
    source = load_encoder(url).network.state_dict()
    for name, tensor in network.state_dict().items():
        wanted = source[name] if name in transfer.taken else random.state_dict()[name]
        assert torch.equal(tensor, wanted), name
    assert transfer.absent
    assert all(name.startswith("backbone.stages.") for name in transfer.absent)
    assert network.backbone.stem[0].weight.is_contiguous(memory_format=torch.channels_last_3d)


def test_other_shapes_are_told_and_left_random(tmp_path):
    url = saved(DEEP, tmp_path)
    other = DEEP.model_copy(update={"input": "centred", "embedding_dim": 32, "init_from": url})
    transfer = starting_weights(other)
    accounted(other, transfer)
    assert "backbone.stem.0.weight" in transfer.reshaped
    assert "bottleneck.layers.6.weight" in transfer.reshaped
    assert "backbone.stages.0.0.main.0.weight" in transfer.taken
    assert "of another shape start at random: backbone.stem.0.weight" in str(transfer)


def test_an_imported_network_starts_training_at_another_length_of_embedding(tmp_path):
    url = saved(LEGACY, tmp_path)
    transfer = starting_weights(LEGACY.model_copy(update={"embedding_dim": 32, "init_from": url}))
    assert {name for name in transfer.taken if name.startswith("backbone.")} == {
        name for name in build_network(LEGACY, seed=0).state_dict() if name.startswith("backbone.")
    }
    assert "bottleneck.layers.6.weight" in transfer.reshaped


def test_an_encoder_of_another_family_has_nothing_to_give(tmp_path):
    url = saved(DEEP, tmp_path)
    with pytest.raises(EncoderError, match=r"nothing to start from.*modern, depth 18, width 0\.125"):
        take_weights(build_network(LEGACY, seed=0), url)


def test_an_absent_encoder_is_named(tmp_path):
    with pytest.raises(MissingDataError, match="none"):
        build_network(DEEP.model_copy(update={"init_from": str(tmp_path / "none")}), seed=0)


def test_untrained_encoders_and_counts_leave_the_start_aside(tmp_path):
    from_nowhere = DEEP.model_copy(update={"init_from": str(tmp_path / "none")})
    options = {"voxel_size_nm": (8.0, 8.0, 8.0), "size_vx": 9, "seed": 4}
    encoder = Encoder.untrained(from_nowhere, **options)
    assert encoder.digest == Encoder.untrained(DEEP, **options).digest
    assert encoder.config == DEEP
    assert gflop_per_cube(from_nowhere, size_vx=9) == gflop_per_cube(DEEP, size_vx=9)
    encoder.save(str(tmp_path / "e"))
    assert "init_from" not in (tmp_path / "e" / "config.json").read_text()
