"""What a whole run consists of depends on its configuration."""

import shutil

import pytest
import yaml

from pipelines.inspect import run_faults, run_status
from pipelines.workflow import run_one
from segclr.config import RunConfig
from segclr.errors import CorruptDataError
from tests.pipelines.conftest import write_run_yaml


@pytest.mark.parametrize(
    ("section", "unneeded"),
    [
        ({"data": {"source": "volume"}}, ["cubes"]),
        ({"embed": {"encoder": "of the run"}}, ["draw-pairs", "pairs", "cubes"]),
        ({}, []),
    ],
)
def test_stages_that_a_run_does_not_need_are_not_missed_and_others_are(
    finished_run, tmp_path, section, unneeded
):
    run = shutil.copytree(finished_run, tmp_path / "run")
    tree = yaml.safe_load((run / "run.yaml").read_text())["config"]
    for name, keys in section.items():
        tree[name] |= {k: str(run / "encoder") if k == "encoder" else v for k, v in keys.items()}
    write_run_yaml(run, tree)
    stages = ["draw-pairs", "pairs", "cubes", "train"]
    for stage in stages:
        shutil.rmtree(run / "records" / stage)
    missed = {
        line.removesuffix(": not done") for line in run_faults(str(run))[0] if line.endswith("not done")
    }
    assert missed == set(stages) - set(unneeded)


@pytest.mark.parametrize("name", ["cubes.zarr/zarr.json", "cubes_index.parquet"])
def test_damage_to_the_plan_of_the_cubes_is_named(finished_run, tmp_path, name):
    run = shutil.copytree(finished_run, tmp_path / "run")
    content = bytearray((run / name).read_bytes())
    content[len(content) // 2] ^= 1
    (run / name).write_bytes(content)
    assert run_faults(str(run))[0] == [f"cubes-index index: {name} is absent or changed"]


@pytest.mark.parametrize("content", ["", "3x"])
def test_a_stage_whose_number_of_parts_is_not_known_is_a_fault(finished_run, tmp_path, content):
    run = shutil.copytree(finished_run, tmp_path / "run")
    (run / "records/embed/total").write_text(content)
    assert run_faults(str(run))[0] == ["embed: records/embed/total is damaged, so parts may be missing"]


@pytest.mark.parametrize("end", [0.5, 0.9, None])
def test_a_run_yaml_that_is_cut_or_changed_is_damaged_even_where_it_parses(finished_run, tmp_path, end):
    run = shutil.copytree(finished_run, tmp_path / "run")
    text = (run / "run.yaml").read_text()
    lines = text.splitlines(keepends=True)
    changed = text.replace("seed: 3", "seed: 4") if end is None else "".join(lines[: int(end * len(lines))])
    assert changed != text
    (run / "run.yaml").write_text(changed)
    with pytest.raises(CorruptDataError, match=r"run\.yaml is damaged"):
        run_faults(str(run))


@pytest.mark.parametrize(("old", "new"), [('"sha256"', '"sha257"'), ('"rows": ', '"rows": 1'), ("{", "[")])
def test_a_record_with_one_change_is_damaged_and_its_part_made_again(finished_run, tmp_path, old, new):
    run = shutil.copytree(finished_run, tmp_path / "run")
    record = run / "records/compact/shard-0000-of-0002.json"
    before = record.read_bytes()
    record.write_text(record.read_text().replace(old, new, 1))
    faults = run_faults(str(run))[0]
    assert "compact shard-0000-of-0002: the record is damaged" in faults
    tree = yaml.safe_load((run / "run.yaml").read_text())["config"] | {"run": str(run)}
    write_run_yaml(run, tree)
    run_one(RunConfig(**tree), "embed")
    assert record.read_bytes() == before


def test_a_stage_that_has_begun_and_has_no_part_done_is_told(finished_run, tmp_path):
    run = shutil.copytree(finished_run, tmp_path / "run")
    for record in (run / "records/train").glob("*.json"):
        record.unlink()
    (told,) = [stage for stage in run_status(str(run)) if stage["stage"] == "train"]
    assert (told["total"], told["done"], told["missing"]) == (1, 0, 1)
