"""Judging, fitting and applying classifiers on a finished run, and what wrong questions are answered."""

import shutil

import numpy as np
import pytest

from pipelines.classify import evaluate_stage, fit_classifier, predict_nodes
from segclr import files
from segclr.errors import ConfigError, MissingDataError
from segclr.store.parquet import read_columns
from tests.pipelines.conftest import IDS

NODE_ALONE = {"metric": "euclidean", "radius_um": 0.0}


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
    fit_classifier(labelled_run, "compartment", metric="path", radius_um=1.0)
    rows = read_columns(predict_nodes(labelled_run, "compartment", metric="path", radius_um=1.0))
    assert set(rows["segment_id"].tolist()) == set(IDS.tolist())
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
