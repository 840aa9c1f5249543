"""Encoders that come from encoders: distilled, or begun from another's weights."""

import json
import shutil

import pytest
import yaml

from segclr.model import load_encoder
from tests.pipelines.conftest import config_tree, content, segclr, segclr_here
from tests.pipelines.test_cli import refused

STUDENT = {"depth": 10, "width": 0.125, "stem": "patch", "stages": 2, "heads": "light"}


@pytest.fixture
def config(finished_run, volumes, tmp_path):
    """A configuration on a copy of the finished run's folder, up to its cubes."""
    shutil.copytree(finished_run, tmp_path / "run")
    for path in (tmp_path / "run").glob("records/*"):
        if path.name in ("train", "embed", "compact", "aggregate", "evaluate", "report"):
            shutil.rmtree(path)
    for name in (
        "run.yaml",
        "encoder",
        "training",
        "embeddings",
        "parts",
        "aggregated",
        "evaluation",
        "report",
    ):
        path = tmp_path / "run" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    def write(**changes):
        tree = config_tree(volumes, tmp_path / "run")
        tree["evaluate"]["untrained_baseline"] = False
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(tree | changes))
        return str(path)

    return write


def test_a_student_is_distilled_once_and_the_run_goes_on_with_it(config, finished_run, tmp_path):
    url = config(encoder=STUDENT, distill={"teacher": str(finished_run / "encoder")})
    done = segclr("distill", url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "run" / "encoder")
    encoder = load_encoder(str(tmp_path / "run" / "encoder"))
    assert encoder.config.stem == "patch"
    assert encoder.training["teacher_digest"] == load_encoder(str(finished_run / "encoder")).digest
    before = content(tmp_path / "run")
    again = segclr("run", url)
    assert again.returncode == 0, again.stderr
    after = content(tmp_path / "run")
    assert {name: after[name] for name in before} == before
    assert "report/index.html" in after
    assert segclr("validate", str(tmp_path / "run")).stdout.strip() == "all promises hold"


def test_a_teacher_that_changed_or_is_absent_is_told(config, finished_run, tmp_path):
    shutil.copytree(finished_run / "encoder", tmp_path / "teacher")
    url = config(encoder=STUDENT, distill={"teacher": str(tmp_path / "teacher")})
    assert segclr("distill", url).returncode == 0
    description = tmp_path / "teacher" / "config.json"
    tree = json.loads(description.read_text())
    description.write_text(json.dumps({**tree, "training": {"another": "one"}}))
    refused(segclr_here("distill", url), 2, "teacher")
    shutil.rmtree(tmp_path / "teacher")
    refused(segclr_here("distill", url), 1, "teacher/config.json")


def test_a_configuration_without_a_teacher_is_wrong_usage(config):
    refused(segclr_here("distill", config()), 2, "distill.teacher")


def test_training_begins_at_another_encoder_and_tells_what_it_took(config, finished_run, tmp_path):
    start = str(finished_run / "encoder")
    encoder = {"depth": 18, "width": 0.125, "stem": "medium", "bottleneck_hidden": 16, "init_from": start}
    done = segclr("train", "--config", config(encoder=encoder))
    assert done.returncode == 0, done.stderr
    assert f"tensors from {start} (made at 32x32x40 nm)" in done.stderr
    transfer = json.loads((tmp_path / "run" / "training" / "transfer.json").read_text())
    own = load_encoder(str(tmp_path / "run" / "encoder")).network.state_dict()
    assert sorted([*transfer["taken"], *transfer["absent"], *transfer["reshaped"]]) == sorted(own)
    assert "backbone.stem.0.weight" in transfer["taken"]
    assert all(".1." in name for name in transfer["absent"])
    assert "init_from" not in (tmp_path / "run" / "encoder" / "config.json").read_text()
