"""What a whole run consists of depends on its configuration."""

import shutil

import pytest
import yaml

from pipelines.inspect import run_faults


@pytest.mark.parametrize(
    ("section", "unneeded"),
    [
        ({"data": {"source": "volume"}}, ["cubes"]),
        ({"embed": {"encoder": "elsewhere"}}, ["draw-pairs", "pairs", "cubes"]),
        ({}, []),
    ],
)
def test_stages_that_a_run_does_not_need_are_not_missed_and_others_are(
    finished_run, tmp_path, section, unneeded
):
    run = shutil.copytree(finished_run, tmp_path / "run")
    tree = yaml.safe_load((run / "run.yaml").read_text())
    for name, keys in section.items():
        tree["config"][name] |= keys
    (run / "run.yaml").write_text(yaml.safe_dump(tree))
    stages = ["draw-pairs", "pairs", "cubes", "train"]
    for stage in stages:
        shutil.rmtree(run / "records" / stage)
    missed = {
        line.removesuffix(": not done") for line in run_faults(str(run))[0] if line.endswith("not done")
    }
    assert missed == set(stages) - set(unneeded)
