import subprocess
import sys

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from segclr import files
from segclr.classify import LinearClassifier, ResNetClassifier
from segclr.classify.temperature import fit_temperature
from segclr.errors import (
    ConfigError,
    CorruptDataError,
    DataError,
    EncoderError,
    LabelError,
    MissingDataError,
)


def blobs(n_classes, *, n=200, d=5, noise=1.0, seed=0):
    rng = np.random.default_rng(seed)
    target = rng.integers(0, n_classes, n)
    X = 2 * rng.standard_normal((n_classes, d))[target] + noise * rng.standard_normal((n, d)) + 100
    return X, np.array([f"class {i}" for i in range(n_classes)])[target]


def test_passes_scikit_learns_estimator_checks():
    results = check_estimator(LinearClassifier(), on_skip=None)
    assert {r["status"] for r in results} <= {"passed", "skipped"}


@pytest.mark.parametrize("n_classes", [2, 4])
def test_equals_scikit_learns_own_pipeline(n_classes):
    X, y = blobs(n_classes)
    ours = LinearClassifier(C=0.3, solver="lbfgs").fit(X, y)
    theirs = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.3, class_weight="balanced", max_iter=1000)
    ).fit(X, y)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-9)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    assert ours.coef_.shape == (n_classes, X.shape[1])


@pytest.mark.parametrize("solver", ["liblinear", "saga"])
@pytest.mark.parametrize("C", [0.01, 1.0])
def test_all_solvers_find_the_same_optimum_with_a_free_intercept(solver, C):
    X, y = blobs(2, n=300, noise=4)
    rare = (y == "class 0") | (np.arange(len(y)) % 8 == 0)
    X, y = X[rare], y[rare]
    wanted = LinearClassifier(C=C, solver="lbfgs", class_weight=None).fit(X, y).predict_proba(X)
    got = LinearClassifier(C=C, solver=solver, class_weight=None).fit(X, y).predict_proba(X)
    np.testing.assert_allclose(got, wanted, atol=0.005)


def test_the_solver_goes_by_size_unless_it_is_given():
    two, three = (LinearClassifier().fit(*blobs(k)) for k in (2, 3))
    assert [two.solver_for(n) for n in (30, 300, 301, 10**6)] == ["liblinear"] * 2 + ["lbfgs"] * 2
    assert three.solver_for(30) == "lbfgs"
    assert two.set_params(solver="saga").solver_for(30) == "saga"
    with pytest.raises(ConfigError, match="auto, liblinear, lbfgs, saga, got 'newton'"):
        LinearClassifier(solver="newton").fit(*blobs(2))
    with pytest.raises(ConfigError, match="liblinear tells two classes apart, got 3"):
        LinearClassifier(solver="liblinear").fit(*blobs(3))


def overconfident(seed=0):
    """Few cells that differ much, many rows of each: a fit on some is too sure of others."""
    rng = np.random.default_rng(seed)
    cells = np.repeat(np.arange(60), 20)
    of_cell = rng.standard_normal((60, 30)) + np.where(np.arange(60) % 2 == 0, 0.25, -0.25)[:, None]
    X = of_cell[cells] + 0.1 * rng.standard_normal((1200, 30))
    return X, np.where(cells % 2 == 0, "a", "b"), cells


def log_loss(model, X, y):
    return -np.log(model.predict_proba(X)[np.arange(len(y)), (y == "b").astype(int)]).mean()


def test_a_temperature_from_cells_left_out_makes_probabilities_of_other_cells_right():
    X, y, cells = overconfident()
    fit, judge = cells < 30, cells >= 30
    plain = LinearClassifier(C=10.0, calibrate=False).fit(X[fit], y[fit], cells[fit])
    calibrated = LinearClassifier(C=10.0).fit(X[fit], y[fit], cells[fit])
    assert plain.temperature_ == 1.0 < calibrated.temperature_
    np.testing.assert_array_equal(plain.predict(X), calibrated.predict(X))
    assert log_loss(calibrated, X[judge], y[judge]) < log_loss(plain, X[judge], y[judge])


def test_the_temperature_is_the_one_of_scores_of_every_cell_by_a_fit_without_it():
    X, y, cells = overconfident()
    model = LinearClassifier(C=1.0, random_state=3).fit(X, y, cells)
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=3)
    scores, target = np.zeros((len(y), 2)), (y == "b").astype(int)
    for fit, judge in folds.split(X, y, cells):
        inner = LinearClassifier(C=1.0).fit(X[fit], y[fit])
        scores[judge] = (X[judge] - inner.mean_) / inner.scale_ @ inner.coef_.T + inner.intercept_
    assert model.temperature_ == pytest.approx(fit_temperature(scores, target), rel=1e-4)


def test_without_groups_nothing_is_calibrated():
    X, y, _ = overconfident()
    assert LinearClassifier().fit(X, y).temperature_ == 1.0


def test_probabilities_are_the_softmax_of_the_scores():
    X, y = blobs(2)
    model = LinearClassifier().fit(X, y)
    scores = (X - model.mean_) / model.scale_ @ model.coef_.T + model.intercept_
    np.testing.assert_allclose(model.predict_proba(X), softmax(scores, axis=1))


def test_a_rare_class_is_found_because_classes_are_balanced():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(0, 1, (500, 1)), rng.normal(1.5, 1, (10, 1))])
    y = np.repeat(["common", "rare"], [500, 10])
    recall = {w: (LinearClassifier(class_weight=w).fit(X, y).predict(X[500:]) == "rare").mean() for w in
              ("balanced", None)}  # fmt: skip
    assert recall["balanced"] > 0.5 > recall[None]


def test_class_weights_by_name_are_used():
    X, y = blobs(2, noise=4)
    heavy = LinearClassifier(class_weight={"class 1": 1000.0, "class 0": 1.0}).fit(X, y)
    assert (heavy.predict(X) == "class 1").mean() > 0.95


def test_uncertainty_is_zero_when_sure_and_one_when_clueless():
    X, y = blobs(3, noise=0.1)
    model = LinearClassifier(C=100).fit(X, y)
    assert model.uncertainty(X).max() < 0.2
    clueless = LinearClassifier(C=1e-9).fit(X, y)
    np.testing.assert_allclose(clueless.uncertainty(X), 1, atol=1e-3)
    assert clueless.uncertainty(X).max() <= 1


def test_uncertain_rows_are_called_unknown_and_no_others():
    X, y = blobs(3, noise=3)
    model = LinearClassifier().fit(X, y)
    uncertainty = model.uncertainty(X)
    threshold = float(np.median(uncertainty))
    answer = model.predict(X, unknown_above=threshold)
    np.testing.assert_array_equal(answer == "unknown", uncertainty > threshold)
    sure = uncertainty <= threshold
    np.testing.assert_array_equal(answer[sure], model.predict(X)[sure])
    assert not (model.predict(X, unknown_above=1.0) == "unknown").any()


def test_the_penalty_is_chosen_by_folds_that_keep_cells_whole(monkeypatch):
    rng = np.random.default_rng(1)
    cells = np.repeat(np.arange(24), 10)[rng.permutation(240)]
    y = np.where(cells % 2 == 0, "a", "b")
    X = np.column_stack([cells, rng.standard_normal((240, 3))])
    fitted, original = [], LinearClassifier._fit_one

    def record(self, X, target, C):
        fitted.append(np.bincount(X[:, 0].astype(int), minlength=24))
        return original(self, X, target, C)

    monkeypatch.setattr(LinearClassifier, "_fit_one", record)
    model = LinearClassifier().fit(X, y, groups=cells)
    assert model.C_ in model.C_grid
    assert len(fitted) == 5 * len(model.C_grid) + 1
    assert all(set(rows_of_cell) == {0, 10} for rows_of_cell in fitted[:-1])


def test_a_penalty_that_is_given_is_used():
    X, y = blobs(2)
    cells = np.arange(len(y))
    assert LinearClassifier(C=3.0).fit(X, y, groups=cells).C_ == 3.0
    assert LinearClassifier().fit(X, y).C_ == 1.0


@pytest.mark.parametrize("seed", range(3))
def test_the_penalty_is_the_one_scikit_learns_cross_validation_prefers(seed):
    rng = np.random.default_rng(seed)
    cells = np.repeat(np.arange(30), 4)
    y = np.where(cells % 3 == 0, "a", "b")
    X = rng.standard_normal((120, 30))
    X[:, :5] += np.where(y == "a", 0.4, -0.4)[:, None]
    model = LinearClassifier(random_state=seed, solver="lbfgs").fit(X, y, groups=cells)
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
    scores = []
    for C in model.C_grid:
        inner = LogisticRegression(C=C, class_weight="balanced", max_iter=1000)
        pipeline = make_pipeline(StandardScaler(), inner)
        scores.append(
            cross_val_score(pipeline, X, y, groups=cells, cv=folds, scoring="f1_macro").mean().round(9)
        )
    assert model.C_grid[int(np.argmax(scores))] == model.C_


def test_choosing_the_penalty_needs_two_cells_of_every_class():
    X, y = blobs(2)
    with pytest.raises(LabelError, match="class class 0, class 1 has rows of one group only"):
        LinearClassifier().fit(X, y, groups=y)
    with pytest.raises(LabelError, match="groups must name"):
        LinearClassifier().fit(X, y, groups=y[:-1])
    one_cell = LinearClassifier(C=1.0, calibrate=False).fit(X, y, groups=y)  # needs no folds
    assert one_cell.temperature_ == 1.0


@pytest.mark.parametrize("value", [0.0, 0.1, -1e30])
def test_a_collapsed_encoder_leaves_every_class_equally_likely(value):
    _, y = blobs(3)
    X = np.full((len(y), 5), value, dtype=np.float32)
    model = LinearClassifier().fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X), 1 / 3, atol=1e-3)
    line = np.arange(len(y))[:, None] * np.ones((1, 5))
    assert np.isfinite(LinearClassifier().fit(line, y).predict_proba(line)).all()


def test_what_cannot_be_used_is_told_in_one_line():
    X, y = blobs(2)
    model = LinearClassifier().fit(X, y)
    for bad, words in ((X * np.nan, "NaN"), (X[:, :3], "3 features")):
        with pytest.raises(DataError, match=words) as caught:
            model.predict(bad)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["str", "object", "int", "bool"])
def test_saved_and_loaded_answers_the_same(tmp_path, kind):
    X, y = blobs(2)
    y = {"str": y, "object": y.astype(object), "int": (y == "class 1") * 7, "bool": y == "class 1"}[kind]
    weight = {np.unique(y)[0]: 2.0}
    cells = np.arange(len(y)) % 20
    model = LinearClassifier(C=0.1, class_weight=weight).fit(X, y, groups=cells)
    assert model.temperature_ != 1.0
    url = str(tmp_path / "classifier")
    model.save(url, encoder_digest="abc")
    loaded = LinearClassifier.load(url, encoder_digest="abc")
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert loaded.get_params() == model.get_params()
    assert loaded.n_features_in_ == model.n_features_in_
    assert loaded.temperature_ == model.temperature_


def test_the_same_classifier_is_saved_as_the_same_bytes_and_no_pickle():
    X, y = blobs(3)
    for name in ("a", "b"):
        LinearClassifier().fit(X, y).save(f"memory://linear/{name}")
    for file in ("model.safetensors", "config.json"):
        assert files.read_bytes(f"memory://linear/a/{file}") == files.read_bytes(f"memory://linear/b/{file}")
    assert sorted(u.rsplit("/", 1)[1] for u in files.glob("memory://linear/a", "*")) == [
        "config.json",
        "model.safetensors",
    ]


def test_a_classifier_of_another_encoder_is_refused(tmp_path):
    X, y = blobs(2)
    LinearClassifier().fit(X, y).save(str(tmp_path), encoder_digest="abc")
    with pytest.raises(EncoderError, match="encoder abc"):
        LinearClassifier.load(str(tmp_path), encoder_digest="def")


def test_damaged_files_are_refused(tmp_path):
    X, y = blobs(2)
    LinearClassifier().fit(X, y).save(str(tmp_path))
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(CorruptDataError, match="damaged"):
        LinearClassifier.load(str(tmp_path))
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(CorruptDataError, match="does not hold a classifier"):
        LinearClassifier.load(str(tmp_path))
    with pytest.raises(MissingDataError):
        LinearClassifier.load(str(tmp_path / "nowhere"))


def test_bad_input_is_the_projects_own_error():
    X, y = blobs(2)
    with pytest.raises(DataError, match="NaN"):
        LinearClassifier().fit(np.where(X > 100, X, np.nan), y)
    with pytest.raises(LabelError, match="at least two classes"):
        LinearClassifier().fit(X, np.full(len(X), "axon"))
    with pytest.raises(LabelError, match="continuous"):
        LinearClassifier().fit(X, X[:, 0])
    with pytest.raises(DataError, match="5 features"):
        LinearClassifier().fit(X, y).predict(X[:, :3])


def test_a_class_named_unknown_cannot_be_thresholded():
    X, y = blobs(2)
    model = LinearClassifier().fit(X, np.where(y == "class 0", "unknown", y))
    with pytest.raises(LabelError, match="one of the classes"):
        model.predict(X, unknown_above=0.5)


def test_importing_classifiers_does_not_import_torch():
    code = "import segclr.classify, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"class_weight": {"zz": 3.0}}, "names 'zz'"),
        ({"class_weight": "balancd"}, "got 'balancd'"),
        ({"C": -1.0}, "above 0"),
        ({"C_grid": ()}, "above 0"),
    ],
)
def test_parameters_that_cannot_be_are_named(parameters, words):
    X, y = np.eye(4), ["a", "a", "b", "b"]
    with pytest.raises(ConfigError, match=words):
        LinearClassifier(**parameters).fit(X, y)


@pytest.mark.parametrize("kind", [LinearClassifier, ResNetClassifier])
def test_rows_without_a_class_are_refused(kind):
    with pytest.raises(DataError, match="without a class"):
        kind().fit(np.eye(4), np.array(["a", "b", "a", None], dtype=object))
