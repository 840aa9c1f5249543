"""Saving and loading encoders."""

import json

import numpy as np
import pytest

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
