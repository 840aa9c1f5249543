"""The demo, made small: every stage on made tissue, on local workers."""

import json
import re
import shutil

import numpy as np
import pytest

from pipelines.inspect import saved_run
from pipelines.labels import labels_digest
from segclr.store.embeddings import open_embeddings
from segclr.store.parquet import read_columns, read_folder
from tests.pipelines.conftest import segclr

SMALL = (
    "tissue={n_blocks: 2, block_size_vx: [112, 112, 96], somata_per_class: 1}",
    "pairs.n_pairs=200",
    "cubes={size_vx: 16, margin_vx: 2, block_vx: [112, 112, 96], shard_cubes: 64}",
    "train.steps=4",
    "train.batch_pairs=8",
    "train.checkpoint_every=2",
    "train.validation_pairs=16",
    "aggregate={radii_um: [0, 5], metrics: [path]}",
)


@pytest.fixture(scope="module")
def demo_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "a run"
    changes = [part for change in SMALL for part in ("--set", change)]
    done = segclr("demo", "--out", str(folder), "--seed", "5", *changes)
    assert done.returncode == 0, done.stderr
    return folder, done, changes


def test_every_node_of_the_tissue_is_embedded_once(demo_run):
    nodes = read_folder(str(demo_run[0] / "nodes"))
    table = open_embeddings(str(demo_run[0] / "embeddings")).read_all()
    assert sorted(zip(nodes["segment_id"], nodes["node_id"], strict=True)) == list(
        zip(table.segment_ids, table.node_ids, strict=True)
    )
    assert (table.segment_ids > 2**53).all()


def test_no_cell_of_the_tissue_is_on_both_sides(demo_run):
    cells = read_folder(str(demo_run[0] / "tissue" / "cells"))
    test = set(cells["segment_id"][cells["split"] == "test"].tolist())
    pairs = read_columns(str(demo_run[0] / "pairs.parquet"))
    assert not test & set(pairs["segment_id"][pairs["split"] == "train"].tolist())
    assert set(pairs["segment_id"][pairs["split"] == "validation"].tolist()) <= test


def test_both_tasks_are_judged_with_the_baselines_beside_them(demo_run):
    for task in ("compartment", "cell_type"):
        rows = json.loads((demo_run[0] / "evaluation" / f"{task}.json").read_text())
        assert {r["encoder"] for r in rows} == {"trained", "untrained", "ten features"}
        assert {r["radius_um"] for r in rows} == {0.0, 5.0}
        for row in rows:
            f1 = np.array(row["f1"])[np.array(row["support"]) > 0]
            assert row["macro_f1"] == pytest.approx(f1.mean())


def test_the_report_is_one_page_with_the_figures_and_no_address_outside(demo_run):
    html = (demo_run[0] / "report" / "index.html").read_text()
    assert "occupancy median" in html
    assert html.count("<img") + html.count("<svg") >= 9
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', html)


def test_the_table_stands_at_the_end(demo_run):
    assert "Cell types" in demo_run[1].stdout
    assert "report/index.html" in demo_run[1].stdout


def test_a_run_that_was_moved_has_the_same_labels(demo_run, tmp_path):
    moved = tmp_path / "elsewhere"
    for name in ("run.yaml", "tissue/cells"):
        copy = shutil.copytree if (demo_run[0] / name).is_dir() else shutil.copy
        (moved / name).parent.mkdir(parents=True, exist_ok=True)
        copy(demo_run[0] / name, moved / name)
    assert labels_digest(saved_run(str(moved))) == labels_digest(saved_run(str(demo_run[0])))


def test_classifiers_are_fitted_saved_and_applied(demo_run):
    folder, _, changes = demo_run
    config = ["--config", "configs/demo.yaml", "--set", f"run='{folder}'", "--set", "seed=5", *changes]
    options = ["--task", "cell_type", "--metric", "path", "--radius-um", "5"]
    fitted = segclr("classify", "fit", *config, *options)
    assert fitted.returncode == 0, fitted.stderr
    predicted = segclr("classify", "predict", *config, *options, "--unknown-above", "0.9")
    assert predicted.returncode == 0, predicted.stderr
    rows = read_columns(predicted.stdout.strip())
    assert len(rows["segment_id"]) == len(read_folder(str(folder / "nodes"))["segment_id"])
    unknown = rows["class"] == "unknown"
    assert (rows["uncertainty"][unknown] > 0.9).all()
    assert (rows["uncertainty"][~unknown] <= 0.9).all()
