"""The small probe: halves by cell, no leak, pooled macro F1."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.preprocessing import StandardScaler

from segclr.classify.probe import probe_macro_f1
from segclr.errors import LabelError

RANDOM = np.random.default_rng(0)
GROUPS = np.repeat(np.arange(12), 6)
CLASSES = np.array(["axon", "dendrite", "glia"])[GROUPS % 3]


def test_classes_that_a_line_parts_score_1_and_noise_scores_about_chance():
    parted = np.eye(3)[GROUPS % 3] + 0.01 * RANDOM.standard_normal((72, 3))
    assert probe_macro_f1(parted, CLASSES, GROUPS) == 1
    assert probe_macro_f1(RANDOM.standard_normal((72, 3)), CLASSES, GROUPS) < 0.6


def test_what_only_tells_the_cell_does_not_help():
    of_cell = np.eye(12)[GROUPS]
    assert probe_macro_f1(of_cell, CLASSES, GROUPS) < 0.5


def test_it_equals_scikit_learns_own_parts():
    values = np.eye(3)[GROUPS % 3] + RANDOM.standard_normal((72, 3))
    guesses = CLASSES.copy()
    for fit, judge in StratifiedGroupKFold(2, shuffle=True, random_state=0).split(values, CLASSES, GROUPS):
        scaler = StandardScaler().fit(values[fit])
        model = LogisticRegression(C=1.0, class_weight="balanced", max_iter=1000)
        model.fit(scaler.transform(values[fit]), CLASSES[fit])
        guesses[judge] = model.predict(scaler.transform(values[judge]))
    wanted = f1_score(CLASSES, guesses, average="macro")
    assert probe_macro_f1(values, CLASSES, GROUPS) == pytest.approx(wanted)


def test_a_class_on_one_cell_is_left_out_and_too_few_classes_are_refused():
    values = np.eye(3)[GROUPS % 3] + 0.01 * RANDOM.standard_normal((72, 3))
    odd = np.where(GROUPS == 0, "soma", CLASSES)
    assert probe_macro_f1(values, odd, GROUPS) == 1
    with pytest.raises(LabelError, match="two classes on at least two cells"):
        probe_macro_f1(values[:12], np.where(GROUPS[:12] == 0, "axon", "soma"), GROUPS[:12])


def test_a_collapsed_embedding_is_scored_not_refused():
    assert 0 <= probe_macro_f1(np.ones((72, 4)), CLASSES, GROUPS) < 0.5
