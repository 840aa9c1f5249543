"""Any run has a page: before its end, without EM, with failures, and at its end."""

import re
import shutil

import pytest

from pipelines.records import fail
from pipelines.report_so_far import is_whole, write_report_so_far
from pipelines.run import Run, saved_config
from pipelines.workflow import run_one
from segclr import files
from segclr.config import load_config
from tests.pipelines.conftest import segclr


def headings(url) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", files.read_bytes(url).decode())


@pytest.fixture
def copy(finished_run, tmp_path):
    shutil.copytree(finished_run, tmp_path / "copy")
    return Run(str(tmp_path / "copy"), saved_config(str(tmp_path / "copy")))


def forget(run: Run, *names: str) -> None:
    """As if the run had not come so far."""
    for name in names:
        shutil.rmtree(run.path(name))


def test_a_run_without_em_shows_its_work_and_its_nodes(config_file, volumes, tmp_path):
    config = load_config(str(config_file(volume=_labels_alone(volumes))), [])
    run_one(config, "skeletonize")
    run = run_one(config, "nodes")
    assert not is_whole(run)
    url = write_report_so_far(run)
    assert headings(url) == ["Work, and what was left out", "Nodes", "Configuration"]
    shown = files.read_bytes(url).decode()
    assert "place-nodes" in shown
    assert ">6<" in shown, "six tubes"


def _labels_alone(volumes):
    return {
        "segmentation": f"precomputed://file://{volumes}/seg",
        "voxel_size_nm": [32, 32, 40],
    }


def test_before_the_evaluation_all_sections_but_its_own_are_there(copy):
    forget(copy, "records/evaluate", "evaluation", "records/report", "report")
    done = segclr("report", copy.url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"report: {copy.path('report/so_far.html')}"
    assert headings(copy.path("report/so_far.html")) == [
        "Work, and what was left out",
        "Nodes",
        "Volume and cubes",
        "Training",
        "Embeddings",
        "Configuration",
    ]


def test_in_the_middle_of_a_training_its_curve_is_shown_and_the_rest_is_said_to_be_missing(copy):
    forget(copy, *(f"records/{s}" for s in ("train", "embed", "compact", "aggregate", "evaluate", "report")))
    url = write_report_so_far(copy)
    assert "Training" in headings(url)
    assert "Embeddings" not in headings(url)
    assert "train" not in re.findall(r"<td>([a-z-]+)</td>", files.read_bytes(url).decode())


def test_a_failed_part_is_told_with_its_reason_escaped(copy):
    forget(copy, "records/evaluate", "records/report")
    part = files.glob(copy.path("records/embed"), "*.json")[0].rsplit("/", 1)[1].removesuffix(".json")
    files.remove(copy.path(f"records/embed/{part}.json"))
    fail(copy.url, "embed", part, ValueError("<script>alert(1)</script>"))
    shown = files.read_bytes(write_report_so_far(copy)).decode()
    assert "&lt;script&gt;alert(1)" in shown
    assert "<script>" not in shown
    assert "Parts that failed for good" in shown


def test_a_finished_run_gets_its_own_page_again_with_the_same_bytes(copy):
    before = files.read_bytes(copy.path("report/index.html"))
    files.remove(copy.path("report/index.html"))
    done = segclr("report", copy.url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith(copy.path("report/index.html"))
    assert files.read_bytes(copy.path("report/index.html")) == before
    assert not files.exists(copy.path("report/so_far.html"))


@pytest.mark.parametrize(
    "arguments", [(), ("runs/x", "--config", "configs/demo.yaml"), ("runs/x", "--set", "seed=1")]
)
def test_the_command_wants_a_run_or_a_configuration(arguments):
    done = segclr("report", *arguments)
    assert done.returncode == 2
    assert "--config" in done.stderr
