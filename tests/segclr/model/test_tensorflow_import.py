"""Checkpoints of the published network: every digit, every variable accounted for."""

import json
import os
import subprocess
import sys
import tarfile
import warnings

import numpy as np
import pytest
import torch

import segclr
from segclr.errors import CorruptDataError, EncoderError, MissingDataError, SegclrError

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(scope="module")
def checkpoint(shared_fixtures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    with tarfile.open(shared_fixtures / "legacy_checkpoint" / "checkpoint.tar.xz") as packed:
        packed.extractall(folder, filter="data")
    return folder / "model.ckpt-0.tf2resaved-1"


@pytest.fixture(scope="module")
def encoder(checkpoint):
    return segclr.import_tensorflow_checkpoint(str(checkpoint))


@pytest.fixture(scope="module")
def variables(checkpoint):
    """The checkpoint's variables by their TF1 names, bookkeeping left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow as tf

    reader = tf.train.load_checkpoint(str(checkpoint))
    stored = [k for k in reader.get_variable_to_shape_map() if k.startswith("_tf1_style_var_store")]
    names = [k.split("/")[2].replace(".S", "/") for k in stored]
    return {name: reader.get_tensor(k) for name, k in zip(names, stored, strict=True)}


def write_tf1(path, variables):
    import tensorflow as tf

    names = list(variables)
    tf.raw_ops.SaveV2(
        prefix=str(path),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tf.constant(variables[name]) for name in names],
    )
    return str(path)


def test_two_cubes_get_the_published_embeddings(encoder, shared_fixtures, shared_data, tmp_path):
    rows = json.loads((shared_fixtures / "legacy_checkpoint" / "cubes.json").read_text())[:2]
    want = np.load(shared_fixtures / "legacy_checkpoint" / "embeddings.npy")[:2]
    em, segmentation = (
        segclr.open_volume(f"precomputed://file://{shared_data}/fib25/{name}", voxel_size_nm=(10, 10, 10))
        for name in ("em", "seg")
    )
    centers_nm = np.array([r["center_zyx"][::-1] for r in rows]) * 10 + 5
    ids = np.array([r["segment_id"] for r in rows], dtype=np.uint64)
    cubes = segclr.cut_cubes(em, segmentation, centers_nm, ids, size_vx=129)
    for engine in ("dense", "skip_empty"):
        got = encoder.embed(cubes, batch_size=1, engine=engine)
        assert np.abs(got - want).max() < 1e-5 * np.abs(want).max(), engine
    encoder.save(str(tmp_path / "encoder"))
    again = segclr.load_encoder(str(tmp_path / "encoder"))
    assert again.config.family == "legacy"
    assert again.voxel_size_nm == (32.0, 32.0, 40.0)
    assert again.size_vx == 129
    assert len(again.training["checkpoint_sha256"]) == 64
    np.testing.assert_array_equal(again.embed(cubes[:1], batch_size=1, engine="skip_empty"), got[:1])


def test_a_tf1_checkpoint_gives_the_same_encoder(encoder, variables, tmp_path):
    more = variables | {
        "global_step": np.int64(355200),
        "bottleneck_head_0/nl_0/dense/kernel/LARSOptimizer": np.zeros(3, np.float32),
    }
    again = segclr.import_tensorflow_checkpoint(write_tf1(tmp_path / "model.ckpt", more))
    assert again.digest == encoder.digest
    assert again.training == encoder.training


def test_every_weight_comes_from_the_checkpoint(encoder, variables):
    """Shuffled back by hand, with the layouts of REFERENCE: conv [kz, ky, kx, in, out], dense [in, out]."""
    state = encoder.network.state_dict()
    kernel = variables["base_model_0/resnet18/stage_3/block_a/conv_1/kernel"]
    ours = state["backbone.stages.1.0.conv_1.weight"].numpy()
    for place in [(0, 1, 2, 3, 4), (2, 0, 1, 127, 5)]:
        z, y, x, n_in, n_out = place
        assert ours[n_out, n_in, z, y, x] == kernel[place]
    dense = variables["bottleneck_head_0/nl_2/dense/kernel"]
    assert state["bottleneck.layers.6.weight"][7, 300].item() == dense[300, 7]
    norm = state["backbone.stages.3.1.bn_1.running_var"].numpy()
    expected = variables["base_model_0/resnet18/stage_5/block_b/bn_1/moving_variance"]
    np.testing.assert_array_equal(norm, expected)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"base_model_0/resnet18/stage_1/conv1/bias": None}, "stage_1/conv1/bias is missing"),
        (
            {"base_model_0/resnet18/stage_6/conv/bias": np.zeros(3, np.float32)},
            "stage_6/conv/bias is unknown",
        ),
        ({"base_model_0/resnet18/stage_1/bn1/beta": np.zeros(3, np.float32)}, "stem_bn.bias has shape"),
        ({"bottleneck_head_0/nl_2/dense/kernel": None}, "bottleneck_head_0/nl_2/dense/kernel"),
    ],
)
def test_variables_that_do_not_fit_are_named(variables, tmp_path, change, words):
    changed = {k: v for k, v in (variables | change).items() if v is not None}
    with pytest.raises(EncoderError, match=words.replace(".", r"\.")):
        segclr.import_tensorflow_checkpoint(write_tf1(tmp_path / "model.ckpt", changed))


def test_absent_and_torn_checkpoints_are_told(checkpoint, tmp_path):
    with pytest.raises(MissingDataError, match="no TensorFlow checkpoint"):
        segclr.import_tensorflow_checkpoint(str(tmp_path / "none"))
    (tmp_path / "torn.index").write_bytes(
        checkpoint.with_name(checkpoint.name + ".index").read_bytes()[:5000]
    )
    data = checkpoint.with_name(checkpoint.name + ".data-00000-of-00001")
    (tmp_path / "torn.data-00000-of-00001").symlink_to(data)
    with pytest.raises(CorruptDataError, match="torn cannot be read"):
        segclr.import_tensorflow_checkpoint(str(tmp_path / "torn"))


def test_without_tensorflow_the_extra_is_named(checkpoint, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow.python.training", None)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(SegclrError, match=r"segclr\[tensorflow\]"):
        segclr.import_tensorflow_checkpoint(str(checkpoint))


def test_the_command_writes_an_encoder_that_needs_no_tensorflow(checkpoint, encoder, tmp_path):
    out = tmp_path / "human"
    command = [
        sys.executable,
        "-c",
        "from pipelines.cli import main; main()",
        "import-weights",
        str(checkpoint),
    ]
    command += ["--out", str(out), "--voxel-size-nm", "32", "32", "33"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "33.74 M parameters, 64 dimensions" in done.stdout
    loaded = segclr.load_encoder(str(out))
    assert loaded.voxel_size_nm == (32.0, 32.0, 33.0)
    for name, tensor in encoder.network.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[name], tensor), name
