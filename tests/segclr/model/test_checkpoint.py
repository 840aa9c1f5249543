"""Saving and loading encoders."""

import io
import json
import pickle

import numpy as np
import pytest
import torch

from segclr import files
from segclr.config import EncoderConfig
from segclr.errors import CorruptDataError, EncoderError, MissingDataError
from segclr.model import Encoder, load_encoder

SMALL = EncoderConfig(depth=10, width=0.125, stem="medium", bottleneck_hidden=16)


@pytest.fixture
def encoder():
    made = Encoder.untrained(SMALL, voxel_size_nm=(32.0, 32.0, 40.0), size_vx=9, seed=3)
    return Encoder(
        SMALL, made.network, made.voxel_size_nm, made.size_vx, training={"steps": 5, "why": "test"}
    )


@pytest.mark.parametrize("where", ["local", "memory"])
def test_load_of_save_is_the_same_encoder(encoder, tmp_path, where):
    url = str(tmp_path / "encoder") if where == "local" else f"memory://{tmp_path.name}/encoder"
    encoder.save(url)
    loaded = load_encoder(url)
    cubes = np.random.default_rng(0).integers(0, 256, (3, 9, 9, 9), dtype=np.uint8)
    assert np.array_equal(loaded.embed(cubes, device="cpu"), encoder.embed(cubes, device="cpu"))
    assert loaded.digest == encoder.digest
    assert (loaded.config, loaded.voxel_size_nm, loaded.size_vx) == (SMALL, (32.0, 32.0, 40.0), 9)
    assert loaded.training == encoder.training


def test_saving_twice_gives_the_same_bytes(encoder, tmp_path):
    encoder.save(str(tmp_path / "a"))
    load_encoder(str(tmp_path / "a")).save(str(tmp_path / "b"))
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_flipped_bit_in_the_weights_is_found(encoder, tmp_path):
    encoder.save(str(tmp_path))
    content = bytearray((tmp_path / "model.safetensors").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "model.safetensors").write_bytes(bytes(content))
    with pytest.raises(CorruptDataError, match="sha256"):
        load_encoder(str(tmp_path))


def test_a_truncated_weights_file_is_found(encoder, tmp_path):
    encoder.save(str(tmp_path))
    content = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(content[:-100])
    with pytest.raises(CorruptDataError, match="damaged"):
        load_encoder(str(tmp_path))


def test_a_missing_folder_or_file_is_named(encoder, tmp_path):
    with pytest.raises(MissingDataError, match=r"config\.json"):
        load_encoder(str(tmp_path / "nothing"))
    encoder.save(str(tmp_path))
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(MissingDataError, match=r"model\.safetensors"):
        load_encoder(str(tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "segclr-encoder/99"}, "'segclr-encoder/99', allowed 'segclr-encoder/1'"),
        ({"architecture": {"kind": "transformer"}}, "unknown architecture 'transformer'"),
        ({"architecture": {"kind": "resnet3d", "depth": 11}}, "cannot be understood"),
        ({"voxel_size_nm": [1, 2]}, "cannot be understood"),
        ({"voxel_size_nm": [8, 0, 8]}, r"voxel_size_nm is \[8.0, 0.0, 8.0\], allowed are positive"),
        ({"voxel_size_nm": [8, "nan", 8]}, "allowed are positive lengths"),
        ({"size_vx": 17.9}, "size_vx is 17.9, allowed are whole numbers"),
        ({"size_vx": "17"}, "size_vx is '17'"),
        ({"size_vx": 0}, "size_vx is 0"),
    ],
)
def test_a_description_that_is_not_ours_is_refused(encoder, tmp_path, change, message):
    encoder.save(str(tmp_path))
    url = str(tmp_path / "config.json")
    files.write_json(url, {**files.read_json(url), **change})
    with pytest.raises(EncoderError, match=message):
        load_encoder(str(tmp_path))


def test_weights_of_another_architecture_are_refused(encoder, tmp_path):
    encoder.save(str(tmp_path))
    path = tmp_path / "config.json"
    description = json.loads(path.read_text())
    description["architecture"]["width"] = 0.25
    path.write_text(json.dumps(description))
    with pytest.raises(EncoderError, match="weights do not fit the architecture"):
        load_encoder(str(tmp_path))


def put_weights(folder, content):
    """Other bytes as the weights, with their own checksum recorded."""
    (folder / "model.safetensors").write_bytes(content)
    url = str(folder / "config.json")
    files.write_json(url, {**files.read_json(url), "weights_sha256": files.sha256(content)})


@pytest.mark.parametrize("kept", [0, 4, 100, 2000, -1])
def test_safetensors_cut_short_are_told_even_where_the_checksum_fits(encoder, tmp_path, kept):
    encoder.save(str(tmp_path))
    put_weights(tmp_path, (tmp_path / "model.safetensors").read_bytes()[:kept])
    with pytest.raises(CorruptDataError, match=r"model\.safetensors: weights are not in safetensors format"):
        load_encoder(str(tmp_path))


def test_a_foreign_pickle_is_refused_and_does_not_run(encoder, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "trap"), "w"))

    encoder.save(str(tmp_path))
    for content in (pickle.dumps(Trap()), torch_archive({"weights": Trap()})):
        put_weights(tmp_path, content)
        with pytest.raises(CorruptDataError, match="not in safetensors format"):
            load_encoder(str(tmp_path))
    assert not (tmp_path / "trap").exists()


def torch_archive(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (EncoderConfig(family="legacy"), "backbone.stages.0.0.bn_0.bias is missing"),
        (SMALL.model_copy(update={"depth": 18}), "backbone.stages.0.1.main.0.weight is missing"),
        (SMALL.model_copy(update={"stages": 3}), "backbone.stages.3.0.main.0.weight is unknown"),
        (SMALL.model_copy(update={"flat_strides": 1, "flat_kernels": True}), r"allowed (8, 1, 1, 5, 5)"),
        (SMALL.model_copy(update={"embedding_dim": 32}), "has shape (64,), allowed (32,)"),
    ],
)
def test_weights_of_another_network_are_refused_with_folder_and_tensor(encoder, tmp_path, other, words):
    encoder.save(str(tmp_path))
    url = str(tmp_path / "config.json")
    architecture = {"kind": "resnet3d", **other.model_dump(mode="json", exclude={"init_from"})}
    files.write_json(url, {**files.read_json(url), "architecture": architecture})
    with pytest.raises(EncoderError, match="weights do not fit the architecture") as caught:
        load_encoder(str(tmp_path))
    assert str(tmp_path) in str(caught.value)
    assert words in str(caught.value)
