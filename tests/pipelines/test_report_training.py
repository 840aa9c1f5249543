"""From history.csv to the curve."""

import shutil

import numpy as np
import pandas as pd
import pytest

from pipelines.report_training import training_curve, training_section
from pipelines.run import Run, saved_config


@pytest.fixture
def run_with(finished_run, tmp_path):
    """The finished run with another history."""

    def write(history):
        folder = tmp_path / "run"
        (folder / "training").mkdir(parents=True)
        shutil.copy(finished_run / "run.yaml", folder)
        history.to_csv(folder / "training/history.csv", index=False)
        return Run(str(folder), saved_config(str(finished_run)))

    return write


@pytest.fixture
def history(finished_run):
    return pd.read_csv(finished_run / "training/history.csv")


def test_the_curve_holds_what_the_training_wrote(run_with, history):
    curve = training_curve(run_with(history))
    assert curve.steps.tolist() == [0, 3, 6]
    np.testing.assert_array_equal(curve.loss, history["loss"])
    np.testing.assert_array_equal(curve.top5, history["top5"])
    assert curve.n_views == history["n_views"][0]
    assert np.isnan(curve.probe_macro_f1).all()
    assert not curve.collapsed.any()


def test_bins_of_distance_are_named_in_micrometres_near_to_far(run_with, history):
    history = history.drop(columns=[name for name in history if name.startswith("cosine_positive_")])
    history["cosine_positive_0_1500_nm"], history["cosine_positive_1500_6000_nm"] = 0.9, 0.8
    assert list(training_curve(run_with(history)).cosine_positive) == ["0 to 1.5 µm", "1.5 to 6 µm"]


def test_marks_of_collapse_are_read_and_told(run_with, history):
    history["collapse"] = ["", "", "point"]
    run = run_with(history)
    assert training_curve(run).collapsed.tolist() == [False, False, True]
    assert "collapsing from step 6 on" in training_section(run).figures[0].caption


def test_a_history_of_an_older_version_shows_what_it_has(run_with, history):
    old = ["step", "loss", "learning_rate", "top1", "effective_rank", "alignment", "uniformity"]
    curve = training_curve(run_with(history[old]))
    assert curve.n_views == 0
    assert np.isnan(curve.top1).all()  # it was measured among other candidates
    np.testing.assert_array_equal(curve.effective_rank, history["effective_rank"])
