"""``segclr plan --encoder`` and ``segclr export`` as commands."""

import json

import numpy as np
import onnxruntime

from pipelines.plan_encoder import encoder_tree
from segclr.config import RunConfig
from segclr.model import load_encoder
from tests.pipelines.conftest import config_tree, segclr, segclr_here
from tests.pipelines.test_cli import refused


def test_the_encoder_is_told_part_by_part_though_there_is_no_volume(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(config_tree(tmp_path / "none", tmp_path / "run")))
    table = segclr("plan", str(path), "--encoder")
    assert table.returncode == 0, table.stderr
    for word in ("stem", "stage 4", "bottleneck", "projection", "8 views", "16 cubes", "16^3 voxels"):
        assert word in " ".join(table.stdout.split()), word
    tree = json.loads(segclr("plan", str(path), "--encoder", "--json").stdout)
    assert [part["name"] for part in tree["parts"]] == [
        "stem",
        *(f"stage {n}" for n in (1, 2, 3, 4)),
        "bottleneck",
        "projection",
    ]
    assert tree["n_parameters"] == sum(part["n_parameters"] for part in tree["parts"])
    assert not (tmp_path / "run").exists()


def test_weights_gradients_and_moments_are_four_numbers_with_adamw_and_three_with_lars(tmp_path):
    tree = config_tree(tmp_path, tmp_path / "run")
    for optimizer, numbers in (("adamw", 4), ("lars", 3), ("sgd", 3)):
        tree["train"]["optimizer"] = optimizer
        told = encoder_tree(RunConfig.model_validate(tree))
        assert told["weights_gradients_moments_bytes"] == 4 * numbers * told["n_parameters"]


def test_export_writes_a_file_that_another_program_runs(finished_run, tmp_path):
    out = tmp_path / "encoder.onnx"
    done = segclr("export", str(finished_run / "encoder"), "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(out)
    encoder = load_encoder(str(finished_run / "encoder"))
    cubes = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 16), dtype=np.uint8)
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    want = encoder.embed(cubes, device="cpu")
    got = session.run(None, {"cubes": cubes})[0]
    assert np.abs(got - want).max() < 1e-5 * np.abs(want).max()
    refused(segclr_here("export", str(finished_run / "encoder"), "--out", str(tmp_path / "x.h5")), 2, ".pt2")
