"""Choosing the pairs that are watched, and what is recorded when."""

import csv

import numpy as np
import pytest

from segclr.config import MonitorConfig
from segclr.errors import TrainingError
from segclr.train import PairRows, train_encoder
from segclr.train.history import History, balanced_rows
from segclr.train.tensorboard import EVENTS
from segclr.train.watch import Distances, Probe, Watch


def test_rows_are_spread_over_the_groups_before_any_is_taken_twice():
    groups = np.array([7] * 50 + [1] * 3 + [4] * 2)
    chosen = balanced_rows(groups, 6, seed=0)
    assert sorted(groups[chosen]) == [1, 1, 4, 4, 7, 7]
    assert len(set(chosen.tolist())) == 6


def test_all_rows_are_taken_where_fewer_are_there_than_asked_for():
    assert sorted(balanced_rows(np.array([0, 0, 1]), 10, seed=0)) == [0, 1, 2]


def test_the_choice_follows_the_seed():
    groups = np.arange(100) // 10
    a, b, c = (balanced_rows(groups, 20, seed=s) for s in (0, 0, 1))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_a_single_held_out_pair_cannot_be_watched(data):
    one = PairRows(*[np.array([0])] * 3)
    with pytest.raises(TrainingError, match="at least 2 held-out pairs, got 1"):
        History(data.cubes, one, url="memory://history.csv", seed=0, n_pairs=8)


def watched(data, n_asked):
    """A watch whose probe counts how often it is asked."""

    def score(embeddings, classes, groups):
        assert embeddings.shape == (4, 64)
        assert classes.tolist() == ["axon", "glia"] * 2
        n_asked.append(len(groups))
        return float(abs(embeddings).mean())

    rows = data.held_out.rows_a[:4]
    probe = Probe(rows, np.array(["axon", "glia"] * 2), np.arange(4), score)
    distances = Distances(np.linspace(0.0, 10.0, len(data.held_out)), (0.0, 5.0, 10.0))
    return Watch(config=MonitorConfig(probe_every=4, tensorboard=True), distances=distances, probe=probe)


@pytest.fixture
def fit(data, encoder_config, train_config, monkeypatch):
    def run(folder, *, stop_after=None, n_asked=None):
        watch = watched(data, [] if n_asked is None else n_asked)
        monkeypatch.setattr(
            "segclr.train.session.History", lambda *a, **k: History(*a, **{**k, "watch": watch})
        )

        def on_step(step, _steps):
            if step == stop_after:
                raise InterruptedError

        train_encoder(
            data, encoder=encoder_config, train=train_config, folder=str(folder), seed=3, on_step=on_step
        )

    return run


def test_a_probe_is_asked_at_the_first_look_at_the_next_after_every_n_steps_and_at_the_last(fit, tmp_path):
    n_asked = []
    fit(tmp_path, n_asked=n_asked)
    with (tmp_path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows if row["probe_macro_f1"]] == ["0", "6", "8"]
    assert n_asked == [4, 4, 4]
    assert all(float(row["cosine_positive_0_5_nm"]) <= 1 for row in rows)


def test_all_that_is_watched_is_the_same_after_stops(fit, tmp_path):
    fit(tmp_path / "a")
    for step in (1, 3, 4, 7):
        with pytest.raises(InterruptedError):
            fit(tmp_path / "b", stop_after=step)
    fit(tmp_path / "b")
    for name in ("history.csv", EVENTS):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_distances_of_other_pairs_are_refused(data):
    watch = Watch(distances=Distances(np.array([1.0]), (0.0, 2.0)))
    with pytest.raises(TrainingError, match="12 held-out pairs came with 1 distances"):
        History(data.cubes, data.held_out, url="memory://h.csv", seed=0, n_pairs=8, watch=watch)
