"""Exported files run without this package and answer what the encoder answers."""

import io
import json
import sys
import zipfile

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from segclr.config import EncoderConfig
from segclr.errors import ConfigError
from segclr.model import Encoder
from segclr.model.export import export_encoder

SIZE_VX = 13
CONFIGS = {
    "legacy": EncoderConfig(family="legacy"),
    "small": EncoderConfig(depth=10, stages=2, width=0.125, stem="patch", input="centred", heads="light"),
    "coarse z": EncoderConfig(
        depth=50, stages=2, width=0.125, norm="group", bottleneck_hidden=16, flat_strides=1, flat_kernels=True
    ),
}


@pytest.fixture(scope="module")
def cubes():
    cubes = np.random.default_rng(0).integers(0, 256, (5, *[SIZE_VX] * 3), dtype=np.uint8)
    cubes[:, :4] = 0
    return cubes


@pytest.fixture(params=CONFIGS, scope="module")
def encoder(request):
    """With statistics of its norms that are not the initial 0 and 1."""
    encoder = Encoder.untrained(
        CONFIGS[request.param], voxel_size_nm=(32.0, 32.0, 40.0), size_vx=SIZE_VX, seed=1
    )
    random = torch.Generator().manual_seed(2)
    for name, tensor in encoder.network.named_buffers():
        if "running" in name:
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=random))
    return encoder


def check(encoder, cubes, answer):
    want = encoder.embed(cubes, device="cpu")
    for n in (1, 2, 5):
        got = answer(cubes[:n])
        assert got.shape == (n, 64)
        assert got.dtype == np.float32
        assert np.abs(got - want[:n]).max() < 1e-5 * np.abs(want).max()


def test_onnx_agrees_with_embed_for_any_number_of_cubes(encoder, cubes, tmp_path):
    url = str(tmp_path / "encoder.onnx")
    export_encoder(encoder, url)
    onnx.checker.check_model(url)
    session = onnxruntime.InferenceSession(url, providers=["CPUExecutionProvider"])
    check(encoder, cubes, lambda some: session.run(["embeddings"], {"cubes": some})[0])
    described = json.loads(session.get_modelmeta().custom_metadata_map["segclr"])
    assert described["encoder_digest"] == encoder.digest
    assert (described["voxel_size_nm"], described["size_vx"]) == ([32.0, 32.0, 40.0], SIZE_VX)


def test_an_exported_program_agrees_with_embed_for_any_number_of_cubes(encoder, cubes, tmp_path):
    url = str(tmp_path / "encoder.pt2")
    export_encoder(encoder, url)
    extra = {"segclr": ""}
    program = torch.export.load(url, extra_files=extra).module()
    check(encoder, cubes, lambda some: program(torch.from_numpy(some)).detach().numpy())
    assert json.loads(extra["segclr"])["encoder_digest"] == encoder.digest


@pytest.fixture(scope="module")
def small():
    return Encoder.untrained(CONFIGS["small"], voxel_size_nm=(8.0, 8.0, 8.0), size_vx=SIZE_VX, seed=1)


@pytest.mark.parametrize("suffix", ["onnx", "pt2"])
def test_an_export_is_the_same_bytes_again_and_tells_no_path_of_the_machine(small, tmp_path, suffix):
    contents = []
    for name in ("a", "b"):
        export_encoder(small, str(tmp_path / f"{name}.{suffix}"))
        contents.append((tmp_path / f"{name}.{suffix}").read_bytes())
    assert contents[0] == contents[1]
    text = contents[0]
    if suffix == "pt2":
        with zipfile.ZipFile(io.BytesIO(text)) as archive:
            text = b"".join(archive.read(name) for name in archive.namelist())
    assert b".py" not in text
    assert b"site-packages" not in text


def test_another_suffix_is_refused(small, tmp_path):
    with pytest.raises(ConfigError, match=r"ends in \.onnx or \.pt2, got .*encoder\.tflite"):
        export_encoder(small, str(tmp_path / "encoder.tflite"))
    assert not list(tmp_path.iterdir())


def test_without_onnx_the_extra_is_named(small, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ConfigError, match=r"segclr\[export\]"):
        export_encoder(small, str(tmp_path / "encoder.onnx"))
