"""The early warning: a training that collapses is told, a healthy one and a dip are not."""

import csv
import warnings
from pathlib import Path

import pytest

from segclr.config import EncoderConfig
from segclr.train import train_encoder
from segclr.train.collapse import LINE, POINT, CollapseWarning, collapse_at, describe

SPREAD, RANK = 0.1, 20.0  # of the untrained network


def looks(*values):
    """Looks every 100 steps at (spread, effective rank), after the untrained network."""
    return [
        {"step": 100 * i, "cosine_negative": 1 - spread, "effective_rank": rank}
        for i, (spread, rank) in enumerate([(SPREAD, RANK), *values])
    ]


def kind(*values, embedding_dim=64, warmup_steps=30):
    return collapse_at(looks(*values), embedding_dim=embedding_dim, warmup_steps=warmup_steps)


def test_views_that_draw_together_in_two_looks_are_a_point():
    assert kind((0.02, 20), (0.02, 20)) == POINT
    assert kind((0.3, 20), (0.02, 20), (0.0, 20)) == POINT
    assert kind((0.03, 20), (0.03, 20)) == ""


def test_two_looks_below_rank_2_are_a_line():
    assert kind((0.2, 1.9), (0.2, 1.2)) == LINE
    assert kind((0.2, 2.1), (0.2, 2.1)) == ""


def test_two_dimensions_may_be_used_evenly_without_a_warning():
    assert kind((0.2, 1.9), (0.2, 1.9), embedding_dim=2) == ""
    assert kind((0.2, 1.1), (0.2, 1.1), embedding_dim=2) == LINE


def test_a_single_dip_and_what_was_long_ago_are_no_collapse():
    assert kind((0.01, 20), (0.2, 20)) == ""
    assert kind((0.2, 20), (0.01, 20)) == ""
    assert kind((0.01, 20), (0.01, 20), (0.2, 20), (0.2, 20)) == ""


def test_looks_of_the_warm_up_and_of_the_first_50_steps_do_not_count():
    assert kind((0.01, 20), (0.01, 20), warmup_steps=150) == ""
    assert kind((0.01, 20), (0.01, 20), (0.01, 20), warmup_steps=150) == POINT
    early = [{**look, "step": look["step"] // 10} for look in looks((0.01, 20), (0.01, 20))]
    assert collapse_at(early, embedding_dim=64, warmup_steps=0) == ""


def test_one_look_or_one_cell_says_nothing():
    assert kind() == kind((0.0, 0.0)) == ""
    alone = [{**look, "cosine_negative": None} for look in looks((0.0, 20), (0.0, 20))]
    assert collapse_at(alone, embedding_dim=64, warmup_steps=0) == ""


def test_the_warning_names_step_numbers_and_remedies():
    text = describe(POINT, looks((0.02, 20), (0.02, 20)))
    assert "to a point at step 200" in text
    assert "0.980000" in text
    assert "train.learning_rate" in text


@pytest.fixture
def history(data, train_config, tmp_path):
    """Trains 80 steps with light heads; answers the rows and what was told besides the Python warning."""

    def run(**changes):
        told = []
        encoder = EncoderConfig(depth=10, width=0.125, stem="patch", heads="light")
        values = {"steps": 80, "validate_every": 10, "learning_rate": 3e-3, "checkpoint_every": 1000}
        train = train_config.model_copy(update=values | changes)
        folder = str(tmp_path)
        train_encoder(data, encoder=encoder, train=train, folder=folder, seed=0, on_warning=told.append)
        with (Path(tmp_path) / "history.csv").open() as file:
            return list(csv.DictReader(file)), told

    return run


def test_a_training_whose_weights_decay_to_nothing_is_warned_of_once_told_once_and_marked(history):
    with pytest.warns(CollapseWarning, match="collapsing to a point at step 60") as caught:
        rows, told = history(weight_decay=100.0, learning_rate=1e-2)
    messages = [str(w.message) for w in caught if w.category is CollapseWarning]
    assert messages == told
    assert len(told) == 1
    assert [row["collapse"] for row in rows] == [""] * 6 + ["point"] * 3


def test_a_healthy_training_is_not_warned_of(history):
    with warnings.catch_warnings():
        warnings.simplefilter("error", CollapseWarning)
        rows, told = history()
    assert told == []
    assert {row["collapse"] for row in rows} == {""}
