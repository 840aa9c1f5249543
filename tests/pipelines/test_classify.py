"""Judging, fitting and applying classifiers on a finished run, and what wrong questions are answered."""

import shutil

import numpy as np
import pytest

from pipelines.classifiers import read_threshold
from pipelines.classify import evaluate_stage, fit_classifier
from pipelines.embed import compact_stage, embed_stage
from pipelines.inspect import run_faults
from pipelines.labels import check_labels
from pipelines.pairs import held_out_segments
from pipelines.predictions import predict_nodes, read_predictions
from pipelines.records import commit, read_record
from pipelines.run import TRAINED, Run
from segclr import files
from segclr.errors import (
    ConfigError,
    CorruptDataError,
    DataError,
    EncoderError,
    LabelError,
    MissingDataError,
)
from segclr.store.parquet import read_columns, write_columns
from tests.pipelines.conftest import IDS, SHAPE_ZYX, write_precomputed

NODE_ALONE = {"metric": "euclidean", "radius_um": 0.0}


@pytest.fixture
def halved_run(labelled_run, tmp_path):
    """The run with labels of which every tube has two: one half is axon, the other dendrite."""
    values = np.ones(SHAPE_ZYX, dtype=np.uint64)
    values[:, :, SHAPE_ZYX[2] // 2 :] = 2
    write_precomputed(tmp_path / "halves", values, kind="segmentation")
    labels = {
        "compartments": f"precomputed://file://{tmp_path}/halves",
        "compartment_names": {1: "axon", 2: "dendrite"},
    }
    config = labelled_run.config.model_dump(mode="json") | {"labels": labels}
    return Run(labelled_run.url, type(labelled_run.config)(**config))


def test_scores_carry_intervals_over_held_out_cells(labelled_run):
    for task in ("compartment", "retrieval"):
        evaluate_stage(labelled_run).work(task)
    for row in files.read_json(labelled_run.path("evaluation/compartment.json")):
        assert row["n_cells"] == 2
        assert row["labels"] == ["axon", "dendrite", "soma"]
        assert row["cells_per_class"] == [1, 1, 0]
        assert row["absent"] == ["soma"]
        low, high = row["macro_f1_interval"]
        assert 0 <= low <= high <= 1
    for row in files.read_json(labelled_run.path("evaluation/retrieval.json")):
        assert row["n_query_segments"] == 2
        assert row["share_interval"][0] <= row["share_interval"][1]


def test_a_classifier_is_fitted_then_applied_to_every_node(labelled_run):
    fit_classifier(labelled_run, "compartment", metric="path", radius_um=1.0, hold_out=False)
    rows = read_columns(predict_nodes(labelled_run, "compartment", metric="path", radius_um=1.0))
    assert set(rows["segment_id"].tolist()) == set(IDS.tolist())
    again = read_predictions(labelled_run, "compartment-path-1um")
    assert all((again[name] == column).all() for name, column in rows.items())
    np.testing.assert_allclose(rows["p_axon"] + rows["p_dendrite"] + rows["p_soma"], 1, atol=1e-6)


@pytest.mark.parametrize("act", [fit_classifier, predict_nodes])
@pytest.mark.parametrize(
    ("task", "setting", "words"),
    [
        ("retrieval", {}, "segclr classify evaluate --task retrieval"),
        ("cell_type", {}, "labels.cell_types"),
        ("compartment", {"radius_um": 7.0}, "within 7 um by euclidean .* radii 1 um .* euclidean, path"),
    ],
)
def test_what_the_configuration_does_not_have_is_wrong_usage(labelled_run, act, task, setting, words):
    with pytest.raises(ConfigError, match=words):
        act(labelled_run, task, **(NODE_ALONE | setting))


def test_applying_before_fitting_names_the_command(labelled_run):
    command = "segclr classify fit --task compartment --metric path --radius-um 1"
    with pytest.raises(MissingDataError, match=command):
        predict_nodes(labelled_run, "compartment", metric="path", radius_um=1.0)


def test_fitting_before_aggregating_names_the_command(labelled_run):
    shutil.rmtree(labelled_run.path("records/aggregate"))
    with pytest.raises(MissingDataError, match="segclr aggregate"):
        fit_classifier(labelled_run, "compartment", metric="path", radius_um=1.0)


@pytest.mark.parametrize("kind", ["linear", "resnet"])
def test_a_threshold_chosen_when_fitting_is_used_when_predicting_unless_another_is_given(halved_run, kind):
    setting = {"metric": "path", "radius_um": 1.0, "kind": kind}
    url = fit_classifier(halved_run, "compartment", **setting, unknown_rate=0.3)
    threshold = read_threshold(url)
    assert 0 < threshold < 1
    rows = read_columns(predict_nodes(halved_run, "compartment", **setting))
    clear = np.abs(rows["uncertainty"] - threshold) > 1e-6  # the table holds float32
    assert clear.mean() > 0.9
    unknown = rows["class"] == "unknown"
    np.testing.assert_array_equal(unknown[clear], rows["uncertainty"][clear] > threshold)
    never = read_columns(predict_nodes(halved_run, "compartment", **setting, unknown_above=1.0))
    assert set(never["class"].tolist()) <= {"axon", "dendrite"}
    fit_classifier(halved_run, "compartment", **setting)
    assert read_threshold(url) is None  # the earlier fit's has gone with it
    rows = read_columns(predict_nodes(halved_run, "compartment", **setting))
    assert "unknown" not in rows["class"].tolist()


def test_both_kinds_lie_side_by_side(halved_run):
    urls = {fit_classifier(halved_run, "compartment", **NODE_ALONE, kind=k) for k in ("linear", "resnet")}
    assert {url.rsplit("/", 1)[1] for url in urls} == {
        "compartment-euclidean-0um",
        "compartment-euclidean-0um-resnet",
    }


@pytest.mark.parametrize("kind", ["linear", "resnet"])
def test_a_class_of_one_training_cell_is_told_with_its_way_out(labelled_run, kind):
    setting = NODE_ALONE | {"kind": kind}
    with pytest.raises(LabelError, match=r"axon, soma has one training cell only.*--no-hold-out"):
        fit_classifier(labelled_run, "compartment", **setting)
    with pytest.raises(ConfigError, match="--unknown-rate or --no-hold-out, not both"):
        fit_classifier(labelled_run, "compartment", **setting, unknown_rate=0.05, hold_out=False)


def test_a_classifier_of_another_encoder_is_refused_when_predicting(halved_run):
    fit_classifier(halved_run, "compartment", **NODE_ALONE)
    config = halved_run.path("encoder", "config.json")
    files.write_json(config, files.read_json(config) | {"digest": "another"})
    with pytest.raises(EncoderError, match="these are of another"):
        predict_nodes(halved_run, "compartment", **NODE_ALONE)


def test_a_damaged_threshold_is_told(halved_run):
    url = fit_classifier(halved_run, "compartment", **NODE_ALONE)
    files.write_json(f"{url}/threshold.json", {"unknown": 0.3})
    with pytest.raises(CorruptDataError, match="does not hold a threshold"):
        predict_nodes(halved_run, "compartment", **NODE_ALONE)


def test_predictions_of_other_embeddings_or_of_a_damaged_table_are_refused(halved_run):
    fit_classifier(halved_run, "compartment", **NODE_ALONE)
    url = predict_nodes(halved_run, "compartment", **NODE_ALONE)
    whole = files.read_bytes(url)
    files.write_bytes(url, whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    with pytest.raises(CorruptDataError, match="segclr classify predict"):
        read_predictions(halved_run, "compartment-euclidean-0um")
    files.write_bytes(url, whole)
    told = files.read_json(url.replace(".parquet", ".json"))
    files.write_json(url.replace(".parquet", ".json"), told | {"embeddings_digest": "earlier"})
    with pytest.raises(DataError, match="other embeddings"):
        read_predictions(halved_run, "compartment-euclidean-0um")


def test_validate_looks_at_classifiers_and_predictions(halved_run):
    """Damage, an encoder or embeddings of an earlier training, and what a killed command left half."""
    before, _ = run_faults(halved_run.url)
    for kind in ("linear", "resnet"):
        fit_classifier(halved_run, "compartment", **NODE_ALONE, kind=kind)
    table = predict_nodes(halved_run, "compartment", **NODE_ALONE)
    assert run_faults(halved_run.url)[0] == before
    config = halved_run.path("encoder", "config.json")
    encoder = files.read_bytes(config)
    files.write_json(config, files.read_json(config) | {"digest": "another"})
    faults = [f for f in run_faults(halved_run.url)[0] if f.startswith("classifiers/")]
    assert [f.split(":")[0].removeprefix("classifiers/compartment-euclidean-0um") for f in faults] == [
        "",
        "-resnet",
    ]
    assert all("fit it again" in fault for fault in faults)
    files.write_bytes(config, encoder)
    told = files.read_json(table.replace(".parquet", ".json"))
    kept = {name: told[name] for name in ("format", "sha256")}
    files.write_json(table.replace(".parquet", ".json"), kept)
    (torn,) = [f for f in run_faults(halved_run.url)[0] if f not in before]
    assert torn.startswith("predictions/compartment-euclidean-0um: ")
    files.remove(halved_run.path("classifiers", "compartment-euclidean-0um-resnet", "config.json"))
    files.remove(table.replace(".parquet", ".json"))
    ours = [f for f in run_faults(halved_run.url)[0] if f not in before]
    assert len(ours) == 2
    assert ours[0].startswith("classifiers/compartment-euclidean-0um-resnet: ")
    assert "config.json" in ours[0]
    assert ours[1].startswith("predictions/compartment-euclidean-0um: ")
    assert "segclr classify predict" in ours[1]


def test_lost_nodes_are_left_out_of_compartments_too(halved_run):
    """A block of embeddings that was set aside: comparisons and fits go on without its nodes."""
    before = judged(halved_run)
    part = next(url for url in files.glob(halved_run.path("parts"), "*.parquet"))
    name = part.rsplit("/", 1)[1].removesuffix(".parquet")
    record = read_record(halved_run.url, "embed", name)
    stage = embed_stage(halved_run, TRAINED)
    commit(halved_run.url, "embed", name, stage.without(name), inputs=record.inputs, failed=OSError("torn"))
    for shard in compact_stage(halved_run, TRAINED).parts:
        compact_stage(halved_run, TRAINED).work(shard)
    after = judged(halved_run)
    assert 0 < after["trained"] < before["trained"]
    assert after["untrained"] == after["trained"]
    fit_classifier(halved_run, "compartment", **NODE_ALONE)


def judged(run):
    """Rows that each encoder was fitted and judged on."""
    evaluate_stage(run).work("compartment")
    rows = files.read_json(run.path("evaluation/compartment.json"))
    return {row["encoder"]: row["n_train"] + row["n"] for row in rows if row["radius_um"] == 0}


def test_types_of_segments_that_the_run_does_not_have_are_told(labelled_run, tmp_path, capsys):
    held_out = held_out_segments(labelled_run)
    training = sorted(set(IDS.tolist()) - held_out)
    types = list(zip([*training, *sorted(held_out)], "ababab", strict=True))
    table = tmp_path / "types.csv"
    table.write_text("segment_id,cell_type\n" + "".join(f"{i},{kind}\n" for i, kind in [*types, (999, "a")]))
    labels = labelled_run.config.labels.model_copy(update={"cell_types": str(table)})
    run = Run(labelled_run.url, labelled_run.config.model_copy(update={"labels": labels}))
    fit_classifier(run, "cell_type", **NODE_ALONE, hold_out=False)
    assert f"1 of {len(types) + 1} segments in {table} have no node here" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["unknown", ""])
def test_a_type_that_is_no_name_is_refused_before_the_first_stage(labelled_run, tmp_path, name):
    table = tmp_path / "types.parquet"
    ids, types = np.array([1, 2, 3], dtype=np.uint64), np.array(["a", "b", name])
    write_columns(str(table), {"segment_id": ids, "cell_type": types})
    labels = labelled_run.config.labels.model_copy(update={"cell_types": str(table)})
    run = Run(labelled_run.url, labelled_run.config.model_copy(update={"labels": labels}))
    with pytest.raises(LabelError, match=f"cell_type {name!r} is no type's name"):
        check_labels(run)
    labels = labels.model_copy(update={"cell_types": None, "compartment_names": {1: name, 2: "axon"}})
    run = Run(labelled_run.url, labelled_run.config.model_copy(update={"labels": labels}))
    with pytest.raises(LabelError, match="name no class"):
        check_labels(run)
