"""What is judged on a test tissue was learned on the training tissue, by the encoder it is named after."""

from types import SimpleNamespace
from zlib import crc32

import numpy as np
import pytest

from pipelines import benchmark_judge
from pipelines.run import TRAINED, UNTRAINED
from segclr.classify import ResNetClassifier
from segclr.classify.labels import Labels
from segclr.config import load_config
from segclr.store.embeddings import EmbeddingTable

CLASSES = np.array(["axon", "dendrite", "soma"])
N_CELLS, PER_CELL = 12, 6
CELL_CLASS = CLASSES[np.arange(N_CELLS) % 3]


class Tissue(SimpleNamespace):
    """Cells whose class is seen in the trained encoder's vectors, and in no other's."""

    def table(self, which, radius_um=0.0):
        cells = np.repeat(np.arange(N_CELLS), PER_CELL)
        random = np.random.default_rng([self.seed, crc32(which.name.encode())])
        vectors = random.normal(size=(len(cells), 8))
        if which == TRAINED:
            vectors[np.arange(len(cells)), self.columns[cells % 3]] += 8
        return EmbeddingTable(
            segment_ids=(cells + 2**60 * self.seed).astype(np.uint64),
            node_ids=np.arange(len(cells), dtype=np.uint32),
            points_nm=random.uniform(0, 1000, (len(cells), 3)).astype(np.float32),
            parents=None,
            embeddings=vectors.astype(np.float32),
        )

    def labels(self, _task, table):
        ids = np.unique(table.segment_ids)
        return Labels(segment_ids=ids, classes=CELL_CLASS)


@pytest.fixture
def bench(monkeypatch):
    """A training tissue, one test tissue like it, and one whose classes look like each other's."""
    config = load_config("configs/benchmark.yaml", ["benchmark.n_labels=[6,12]", "benchmark.repeats=2"])
    like, unlike = np.array([0, 1, 2]), np.array([1, 2, 0])
    monkeypatch.setattr(benchmark_judge, "_table", lambda run, which, radius_um=0.0: run.table(which))
    monkeypatch.setattr(benchmark_judge, "_features", lambda run, radius_um: run.table(UNTRAINED))
    monkeypatch.setattr(benchmark_judge, "labels_of", lambda run, task, table: run.labels(task, table))
    return SimpleNamespace(
        top=SimpleNamespace(config=config),
        config=config.benchmark,
        training=Tissue(seed=1, columns=like),
        tests={7: Tissue(seed=2, columns=like), 8: Tissue(seed=3, columns=unlike)},
        supervised={},
    )


def scores(rows, **wanted):
    return [r["macro_f1"] for r in rows if all(r[k] == v for k, v in wanted.items())]


@pytest.mark.parametrize("question", ["compartments", "cell_types"])
def test_a_tissue_like_the_training_one_is_told_and_one_that_contradicts_it_is_not(bench, question):
    rows = list(benchmark_judge.QUESTIONS[question](bench))
    n_fitted = max(row.get("n_labels", 0) for row in rows)
    told = [row for row in rows if row.get("n_labels", 0) == n_fitted]  # few labels may be too few
    assert min(scores(told, method="trained", test_seed=7)) > 0.95
    assert max(scores(told, method="trained", test_seed=8)) < 0.05
    for method in {row["method"] for row in rows} - {"trained"}:
        assert max(scores(rows, method=method, test_seed=7)) < 0.7


def test_few_labels_are_drawn_anew_and_all_are_there_at_the_end(bench):
    rows = list(benchmark_judge.QUESTIONS["compartments"](bench))
    drawn = {(r["n_labels"], r["repeat"]) for r in rows if r["method"] == "trained"}
    n_all = N_CELLS * PER_CELL
    assert drawn == {(6, 0), (6, 1), (12, 0), (12, 1), (n_all, 0)}


def test_a_type_that_is_left_out_is_no_class_of_the_classifier(bench, monkeypatch):
    fitted = []

    class Spy(ResNetClassifier):
        def fit(self, X, y, groups=None):
            fitted.append(set(y))
            return super().fit(X, y, groups)

    monkeypatch.setattr(benchmark_judge, "new_classifier", lambda *_: Spy(epochs=2, n_features=64))
    rows = list(benchmark_judge.QUESTIONS["unknown"](bench))
    assert fitted == [set(CLASSES) - {c} for c in CLASSES]
    methods = {"Gaussian process, variance", "Gaussian process, dempster-shafer", "linear, entropy"}
    asked = {(m, c, s) for m in methods for c in CLASSES for s in (7, 8)}
    assert sorted((r["method"], r["left_out"], r["test_seed"]) for r in rows) == sorted(asked)
    assert all(r["n_unknown"] == N_CELLS // 3 * PER_CELL for r in rows)


def test_calibration_counts_every_node_of_every_tissue_once(bench):
    rows = list(benchmark_judge.QUESTIONS["calibration"](bench))
    for method in ("as fitted", "calibrated"):
        for seed in bench.tests:
            n = sum(r["n"] for r in rows if r["method"] == method and r["test_seed"] == seed)
            assert n == N_CELLS * PER_CELL
    wrong = [r for r in rows if r["test_seed"] == 8]
    assert all(r["accuracy"] < 0.2 for r in wrong)
