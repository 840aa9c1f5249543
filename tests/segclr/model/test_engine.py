"""Engines: the same embeddings by any of them, and none that follows old weights."""

import sys

import numpy as np
import pytest
import torch

from segclr.config import EncoderConfig
from segclr.errors import EncoderError
from segclr.model import Encoder
from segclr.model.engine import resolve_engine

CPU = torch.device("cpu")
RUNS = [("dense", "cpu"), ("skip_empty", "cpu"), ("openvino", "cpu")]
if torch.cuda.is_available():
    RUNS += [("dense", "cuda"), ("skip_empty", "cuda")]
SMALL = EncoderConfig(depth=10, width=0.125, stem="medium", stages=2, bottleneck_hidden=16)


def make(**changes):
    config = SMALL.model_copy(update=changes)
    return Encoder.untrained(config, voxel_size_nm=(32.0, 32.0, 40.0), size_vx=9, seed=0)


@pytest.fixture(scope="module")
def cubes():
    rng = np.random.default_rng(0)
    cubes = rng.integers(1, 256, (5, 9, 9, 9), dtype=np.uint8)
    return cubes * (rng.random(cubes.shape) < np.array([0, 0.01, 0.1, 0.5, 1])[:, None, None, None])


def assert_same(got, want):
    assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()


@pytest.mark.parametrize(("engine", "where"), RUNS[1:])
@pytest.mark.parametrize("config", [{}, {"stem": "patch", "input": "centred"}, {"width": 0.5}])
def test_engines_agree_with_the_dense_one(cubes, engine, where, config):
    encoder = make(**config)
    want = encoder.embed(cubes, device="cpu", engine="dense")
    assert_same(encoder.embed(cubes, device=where, engine=engine, batch_size=2), want)


@pytest.mark.parametrize(("engine", "where"), RUNS)
def test_bfloat16_points_the_same_way(cubes, engine, where):
    encoder = make()
    cubes = cubes[1:]  # an untrained encoder embeds an empty cube as 0
    want = encoder.embed(cubes, device="cpu", engine="dense")
    got = encoder.embed(cubes, device=where, engine=engine, precision="bfloat16")
    cosine = (got * want).sum(1) / np.linalg.norm(got, axis=1) / np.linalg.norm(want, axis=1)
    assert cosine.min() >= 0.999


@pytest.mark.parametrize(("engine", "where"), RUNS)
def test_engines_follow_the_weights(cubes, engine, where):
    """Constants of empty cubes are kept only as long as the weights they come from."""
    encoder = make()
    before = encoder.embed(cubes, device=where, engine=engine)
    with torch.no_grad():
        encoder.network.backbone.stem[1].bias.add_(0.5)
    after = encoder.embed(cubes, device=where, engine=engine)
    assert np.abs(after - before).max() > 1e-3 * np.abs(before).max()
    assert_same(after, encoder.embed(cubes, device="cpu", engine="dense"))
    encoder.network.load_state_dict(make().network.state_dict())
    assert_same(encoder.embed(cubes, device=where, engine=engine), before)


def test_a_predictor_is_made_once_for_the_same_weights(cubes):
    encoder = make()
    encoder.embed(cubes, device="cpu", engine="skip_empty")
    made = encoder._predictors._predictor
    encoder.embed(cubes[:1], device="cpu", engine="skip_empty")
    assert encoder._predictors._predictor is made
    encoder.embed(cubes[:1], device="cpu", engine="skip_empty", precision="bfloat16")
    assert encoder._predictors._predictor is not made


@pytest.mark.parametrize(
    ("config", "size_vx", "device", "has_triton", "compiled", "engine"),
    [
        ({}, 129, "cpu", False, False, "skip_empty"),
        ({}, 65, "cpu", False, False, "dense"),
        ({}, 129, "cpu", False, True, "dense"),
        ({}, 129, "cuda", False, False, "dense"),
        ({}, 65, "cuda", True, False, "skip_empty"),
        ({}, 49, "cuda", True, False, "dense"),
        ({"width": 0.375}, 129, "cuda", True, False, "dense"),  # 24 channels are no tiles
        ({"width": 0.375}, 129, "cpu", False, False, "skip_empty"),
        ({"stem": "patch"}, 129, "cuda", True, False, "skip_empty"),
        ({}, 129, "mps", True, False, "dense"),
        ({"norm": "group"}, 129, "cpu", False, False, "dense"),
        ({"norm": "group"}, 129, "cuda", True, False, "dense"),
    ],
)
def test_auto_skips_where_it_can_and_pays(config, size_vx, device, has_triton, compiled, engine, monkeypatch):
    monkeypatch.setattr("segclr.model.skip.fused_where._triton_works", lambda *_: has_triton)
    network = make(**{"width": 0.5} | config).network
    where = {"size_vx": size_vx, "device": torch.device(device), "compiled": compiled}
    where["dtype"] = torch.bfloat16
    assert resolve_engine("auto", network, **where) == engine


def test_group_norm_is_refused_by_name_and_dense_by_auto(cubes):
    encoder = make(norm="group")
    with pytest.raises(EncoderError, match=r"group norm mixes all of space.*take engine dense or auto"):
        encoder.embed(cubes, device="cpu", engine="skip_empty")
    want = encoder.embed(cubes, device="cpu", engine="dense")
    np.testing.assert_array_equal(encoder.embed(cubes, device="cpu"), want)


@pytest.mark.parametrize(
    ("engine", "device", "compiled", "words"),
    [
        ("fastest", CPU, False, "engine must be auto, dense, skip_empty, openvino; got 'fastest'"),
        ("openvino", torch.device("cuda"), False, "engine openvino runs on CPUs, got device cuda"),
        ("skip_empty", CPU, True, "compile is for engine dense, got engine skip_empty"),
    ],
)
def test_engines_that_cannot_run_are_refused(engine, device, compiled, words):
    with pytest.raises(EncoderError, match=words):
        resolve_engine(
            engine, make().network, size_vx=129, device=device, dtype=torch.float32, compiled=compiled
        )


def test_without_openvino_the_extra_is_named(cubes, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(EncoderError, match=r"segclr\[openvino\]"):
        make().embed(cubes, device="cpu", engine="openvino")
