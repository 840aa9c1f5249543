"""Wrong input gets one clear line and the right exit status, never a traceback."""

import shutil
import subprocess

import numpy as np
import pytest
import yaml

from segclr.store.parquet import read_columns
from tests.pipelines.conftest import config_tree, make_volumes, segclr, segclr_here, write_precomputed


def refused(result: subprocess.CompletedProcess, status: int, *words: str) -> None:
    lines = [line for line in result.stderr.splitlines() if "error:" in line]
    assert result.returncode == status, result.stderr
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in lines[0], lines[0]


def test_a_missing_volume_is_named(config_file, volumes, tmp_path):
    tree = config_tree(volumes, tmp_path / "run")["volume"] | {"em": f"precomputed://file://{tmp_path}/none"}
    refused(segclr_here("run", str(config_file(volume=tree))), 1, "no precomputed volume", "none")


def test_mismatched_shapes_are_told_with_both(config_file, tmp_path):
    make_volumes(tmp_path)
    small = np.zeros((48, 64, 128), dtype=np.uint64)
    write_precomputed(tmp_path / "small", small, kind="segmentation")
    tree = config_tree(tmp_path, tmp_path / "run")["volume"]
    tree["segmentation"] = f"precomputed://file://{tmp_path}/small"
    refused(segclr_here("run", str(config_file(volume=tree))), 1, "(192, 64, 64)", "(160, 64, 64)")


def test_mismatched_voxel_sizes_list_the_scales(config_file, tmp_path):
    make_volumes(tmp_path)
    array = np.zeros((48, 64, 160), dtype=np.uint64)
    write_precomputed(tmp_path / "other", array, kind="segmentation", voxel_nm=(16, 16, 40))
    tree = config_tree(tmp_path, tmp_path / "run")["volume"]
    tree["segmentation"] = f"precomputed://file://{tmp_path}/other"
    refused(segclr_here("run", str(config_file(volume=tree))), 1, "16x16x40", "32x32x40")


def test_an_empty_segmentation_is_told(config_file, tmp_path):
    make_volumes(tmp_path)
    write_precomputed(tmp_path / "empty", np.zeros((48, 64, 160), dtype=np.uint64), kind="segmentation")
    tree = config_tree(tmp_path, tmp_path / "run")["volume"]
    tree["segmentation"] = f"precomputed://file://{tmp_path}/empty"
    refused(segclr_here("run", str(config_file(volume=tree))), 1, "empty")


def test_a_cube_larger_than_the_volume_is_told_with_what_fits(config_file):
    refused(segclr_here("run", str(config_file()), "--set", "cubes.size_vx=65"), 1, "65", "48")


def test_unknown_keys_are_wrong_usage(config_file):
    refused(segclr_here("run", str(config_file(colour="blue"))), 2, "colour", "unknown key")
    refused(segclr_here("run", str(config_file()), "--set", "train.stepz=3"), 2, "train.stepz", "unknown key")


def test_a_missing_configuration_is_named(tmp_path):
    refused(segclr_here("run", str(tmp_path / "none.yaml")), 2, "none.yaml")
    refused(segclr_here("run", str(tmp_path)), 2, "no configuration file")
    refused(segclr_here("run", ""), 2, "no configuration file")


def test_a_stage_whose_input_is_absent_says_which_command_makes_it(config_file):
    refused(segclr_here("train", "--config", str(config_file())), 1, "segclr cubes")


def test_another_configuration_in_the_same_folder_is_refused_with_the_keys(finished_run, volumes, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(config_tree(volumes, finished_run)))
    result = segclr_here("nodes", "--config", str(config), "--set", "nodes.spacing_nm=250", "--set", "seed=4")
    refused(result, 2, "nodes.spacing_nm was 200.0, is now 250.0", "seed was 3, is now 4")


@pytest.mark.parametrize("arguments", [["run"], ["nonsense"], ["run", "--nonsense"], ["embed"]])
def test_wrong_usage_ends_with_status_2(arguments):
    result = segclr_here(*arguments)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def test_the_traceback_comes_with_debug(config_file):
    result = segclr("run", str(config_file()), "--set", "cubes.size_vx=65", "--debug")
    assert result.returncode != 0
    assert "Traceback" in result.stderr


def test_status_and_validate_look_at_a_run(finished_run, tmp_path):
    status = segclr_here("status", str(finished_run))
    assert status.returncode == 0
    assert "embed: 3 parts done, 0 failed" in status.stdout
    assert segclr_here("validate", str(finished_run)).stdout.strip() == "all promises hold"
    refused(segclr_here("status", str(tmp_path)), 1, "no run.yaml")


def test_validate_names_a_file_that_changed(finished_run, tmp_path):

    shutil.copytree(finished_run, tmp_path / "run")
    victim = sorted((tmp_path / "run" / "embeddings").glob("*.parquet"))[0]
    victim.write_bytes(victim.read_bytes() + b"x")
    result = segclr_here("validate", str(tmp_path / "run"))
    assert result.returncode == 1
    assert f"embeddings/{victim.name} is absent or changed" in result.stdout


def test_evaluate_prints_retrieval_beside_chance(finished_run, volumes, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(config_tree(volumes, finished_run)))
    result = segclr_here("classify", "evaluate", "--config", str(config), "--task", "retrieval")
    rows = yaml.safe_load(result.stdout)
    assert {row["encoder"] for row in rows} == {"trained", "untrained"}
    assert all(0 <= row["chance"] <= 1 for row in rows)
    refused(
        segclr_here("classify", "evaluate", "--config", str(config), "--task", "cell_type"),
        2,
        "labels.cell_types",
    )


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("9007199254740993.0,a", ("row 2", "9007199254740993.0")),
        (",a", ("row 2", "whole number")),
        ("18446744073709551616,a", ("row 2", "18446744073709551616")),
        ("7,", ("row 2", "cell_type is empty")),
        ("7,a\n7,b", ("7 comes more than once",)),
    ],
)
def test_a_label_table_that_would_damage_ids_or_classes_is_refused(config_file, tmp_path, rows, words):
    (tmp_path / "types.csv").write_text(f"segment_id,cell_type\n{rows}\n")
    config = config_file(labels={"cell_types": str(tmp_path / "types.csv")})
    for stage in ("skeletonize", "nodes"):
        segclr_here(stage, "--config", str(config))
    refused(segclr_here("pairs", "--config", str(config)), 1, "types.csv", *words)


def test_an_edited_label_table_is_another_input(config_file, tmp_path):
    table = tmp_path / "types.csv"
    table.write_text("segment_id,cell_type\n9007199254740993,a\n9223372036854775813,b\n")
    config = config_file(labels={"cell_types": str(table)})
    for stage in ("skeletonize", "nodes", "pairs"):
        assert segclr_here(stage, "--config", str(config)).returncode == 0
    table.write_text(table.read_text().replace(",b", ",c"))
    refused(segclr_here("pairs", "--config", str(config)), 2, "labels")


def test_a_wrong_volume_does_not_lock_the_run_folder(config_file, volumes, tmp_path):
    good = config_tree(volumes, tmp_path / "run")["volume"]
    bad = good | {"em": f"precomputed://file://{tmp_path}/none"}
    assert segclr_here("skeletonize", "--config", str(config_file(volume=bad))).returncode == 1
    assert segclr_here("skeletonize", "--config", str(config_file(volume=good))).returncode == 0


def test_a_damaged_run_yaml_is_told_in_one_line(finished_run, tmp_path):

    shutil.copytree(finished_run, tmp_path / "run")
    (tmp_path / "run" / "run.yaml").write_text("garbage: [")
    refused(segclr_here("status", str(tmp_path / "run")), 1, "run.yaml is damaged")


def test_validate_of_a_run_without_records_fails(finished_run, tmp_path):

    shutil.copytree(finished_run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "records")
    result = segclr_here("validate", str(tmp_path / "run"))
    assert result.returncode == 1
    assert "embed: not done" in result.stdout


def test_wrong_labels_are_told_before_the_first_stage_and_do_not_lock_the_folder(config_file, tmp_path):
    bad = config_file(labels={"cell_types": str(tmp_path / "none.csv")})
    refused(segclr_here("run", str(bad)), 1, "none.csv")
    nowhere = {"compartments": f"precomputed://file://{tmp_path}/none", "compartment_names": {1: "axon"}}
    bad = config_file(labels=nowhere)
    refused(segclr_here("skeletonize", "--config", str(bad)), 1, "no precomputed volume")
    assert not (tmp_path / "run" / "records").exists()


def test_labels_and_evaluation_may_change_in_a_run_that_goes_on(finished_run, volumes, tmp_path):
    shutil.copytree(finished_run, tmp_path / "run")
    tree = config_tree(volumes, tmp_path / "run") | {"name": "another name"}
    tree["train"] |= {"num_workers": 1, "memory_gb": 1}
    tree["embed"] |= {"device": "cpu"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tree))
    assert segclr_here("embed", "--config", str(tmp_path / "config.yaml")).returncode == 0
    assert "another name" in (tmp_path / "run" / "run.yaml").read_text()
    tree["evaluate"] |= {"probe_c": 2.0}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tree))
    result = segclr_here(
        "classify", "evaluate", "--config", str(tmp_path / "config.yaml"), "--task", "retrieval"
    )
    refused(result, 2, "another evaluate", "records/evaluate")
    shutil.rmtree(tmp_path / "run" / "records" / "evaluate")
    assert segclr("run", str(tmp_path / "config.yaml")).returncode == 0


@pytest.mark.parametrize(
    ("override", "status", "word"),
    [
        ("run=nonsense://bucket/run", 2, "nonsense"),
        ("run=/dev/null", 2, "must be a folder"),
        ("run=", 2, "run"),
        ("embed.device=tpu", 2, "embed.device"),
        ("embed.device=cuda", 1, "cuda"),
        ("embed.device=mps", 1, "mps"),
    ],
)
def test_a_run_that_cannot_be_is_told_at_once(config_file, override, status, word):
    refused(segclr_here("run", str(config_file()), "--set", override), status, word)


def test_a_key_given_twice_is_refused(config_file):
    path = config_file()
    path.write_text(path.read_text() + "\nseed: 5\n")
    refused(segclr_here("run", str(path)), 2, "the key seed comes twice")


def test_tissue_brings_its_own_skeletons():
    result = segclr_here("skeletonize", "--config", "configs/demo.yaml", "--set", "run=/nonexistent/run")
    refused(result, 2, "skeletons.source is tissue")


def test_a_damaged_record_is_redone(finished_run, volumes, tmp_path):
    shutil.copytree(finished_run, tmp_path / "run")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config_tree(volumes, tmp_path / "run")))
    record = sorted((tmp_path / "run" / "records" / "nodes").glob("*.json"))[0]
    before = record.read_text()
    record.write_text('{"inputs": {}, "files": {}, "rows": 0, "counts": {}}')
    assert segclr_here("nodes", "--config", str(tmp_path / "config.yaml")).returncode == 0
    assert record.read_text() == before


def test_the_version_is_printed():
    assert segclr_here("--version").stdout.startswith("segclr ")


def test_a_blank_em_is_told_before_training(config_file, tmp_path):
    make_volumes(tmp_path)
    write_precomputed(tmp_path / "blank", np.zeros((48, 64, 160), dtype=np.uint8), kind="image")
    tree = config_tree(tmp_path, tmp_path / "run")["volume"] | {
        "em": f"precomputed://file://{tmp_path}/blank"
    }
    refused(segclr_here("run", str(config_file(volume=tree))), 1, "cubes are blank")


@pytest.mark.parametrize(
    ("rows", "word"),
    [
        ("9007199254740993,a,test\n7,b,test", "split is test in every row"),
        ("9007199254740993,a,train\n7,a,test", "names 1 cell types"),
        ("1,a,train\n2,b,test", "has a node in this volume"),
    ],
)
def test_labels_that_cannot_serve_are_told_before_training(config_file, tmp_path, rows, word):
    (tmp_path / "types.csv").write_text(f"segment_id,cell_type,split\n{rows}\n")
    config = config_file(labels={"cell_types": str(tmp_path / "types.csv")})
    refused(segclr_here("run", str(config)), 1, word)
    assert not (tmp_path / "run" / "cubes.zarr").exists()


def test_a_label_volume_of_another_place_or_without_names_is_told_at_once(config_file, volumes, tmp_path):
    write_precomputed(tmp_path / "labels", np.zeros((48, 64, 96), dtype=np.uint8), kind="segmentation")
    url = f"precomputed://file://{tmp_path}/labels"
    refused(segclr_here("run", str(config_file(labels={"compartments": url}))), 2, "compartment_names")
    labels = {"compartments": url, "compartment_names": {1: "axon"}}
    refused(
        segclr_here("run", str(config_file(labels=labels))), 1, "labels.compartments covers", "(128, 64, 64)"
    )


def test_a_table_that_calls_trained_segments_test_is_refused(finished_run, volumes, tmp_path):
    sides = read_columns(str(finished_run / "segments.parquet"))
    rows = [
        f"{i},{'ab'[n % 2]},{'train' if side == 'held_out' else 'test'}"
        for n, (i, side) in enumerate(zip(sides["segment_id"].tolist(), sides["split"], strict=True))
    ]
    (tmp_path / "types.csv").write_text("segment_id,cell_type,split\n" + "\n".join(rows) + "\n")
    shutil.copytree(finished_run, tmp_path / "run")
    tree = config_tree(volumes, tmp_path / "run") | {"labels": {"cell_types": str(tmp_path / "types.csv")}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tree))
    result = segclr_here("classify", "fit", "--config", str(tmp_path / "config.yaml"), "--task", "cell_type")
    refused(result, 1, "test that the encoder was trained on")


def test_yaml_merge_keys_work(config_file):
    path = config_file()
    path.write_text(path.read_text() + "\nplan: {<<: {n: 1}, m: 2}\n")
    refused(segclr_here("run", str(path)), 2, "plan.n: unknown key", "plan.m: unknown key")


def test_without_em_there_are_skeletons_nodes_and_pairs_and_no_more(
    config_file, volumes, finished_run, tmp_path
):
    tree = config_tree(volumes, tmp_path / "run")["volume"]
    del tree["em"]
    config = str(config_file(volume=tree))
    refused(segclr_here("run", config), 2, "a whole run needs volume.em")
    for stage in ("skeletonize", "nodes", "pairs"):
        assert segclr_here(stage, "--config", config).returncode == 0
    ours, theirs = ((run / "pairs.parquet").read_bytes() for run in (tmp_path / "run", finished_run))
    assert ours == theirs
    refused(segclr_here("cubes", "--config", config), 2, "volume.em is needed")


@pytest.mark.parametrize("kind", ["int64", "float32"])
def test_a_segmentation_of_other_numbers_is_told_at_once(config_file, volumes, tmp_path, kind):
    write_precomputed(tmp_path / "labels", np.ones((48, 64, 160), dtype=kind), kind="segmentation")
    tree = config_tree(volumes, tmp_path / "run")["volume"]
    for em in (tree["em"], None):
        volume = tree | {"segmentation": f"precomputed://file://{tmp_path}/labels", "em": em}
        result = segclr_here("skeletonize", "--config", str(config_file(volume=volume)))
        refused(result, 1, "must be of unsigned integers", kind)


def test_a_plan_says_what_filters_it_leaves_out_and_charges_no_kimimaro_for_read_skeletons(config_file):
    plain = str(config_file())
    filtered = segclr_here("plan", plain, "--set", "nodes.min_cable_nm=1000").stdout
    assert "nodes.min_cable_nm" in " ".join(filtered.split())
    assert "nodes.min_cable_nm" not in segclr_here("plan", plain).stdout
    read = segclr_here("plan", plain, "--set", "skeletons={source: url, url: 'swc://none'}", "--json").stdout
    keys = {row["key"] for row in yaml.safe_load(read)["rows"]}
    assert "skeletonize_core_hours" not in keys
    made = segclr_here("plan", plain, "--json").stdout
    assert "skeletonize_core_hours" in {row["key"] for row in yaml.safe_load(made)["rows"]}


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["view", "RUN", "--screenshot", "a.jpg"], "ends in .png, not a.jpg"),
        (
            ["export", "RUN", "--out", "e.onnx"],
            "RUN is no encoder: there is no config.json (a run has its own",
        ),
    ],
)
def test_what_was_meant_otherwise_is_told_with_what_to_give(finished_run, tmp_path, command, words):
    run = str(finished_run)
    given = [run if word == "RUN" else word for word in command]
    answer = segclr_here(*given)
    assert answer.returncode != 0
    assert words.replace("RUN", run) in answer.stderr
