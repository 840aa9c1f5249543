import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.utils.estimator_checks import check_estimator

from segclr.classify import ResNetClassifier, dempster_shafer, normalised_entropy
from segclr.errors import ConfigError, CorruptDataError, DataError, EncoderError, LabelError

SMALL = {"width": 16, "n_features": 128, "epochs": 30, "device": "cpu"}


def blobs(n_classes=3, *, n=240, d=6, seed=0):
    rng = np.random.default_rng(seed)
    target = rng.integers(0, n_classes, n)
    X = 3 * rng.standard_normal((n_classes, d))[target] + rng.standard_normal((n, d)) + 100
    cells = target * 10 + rng.integers(0, 8, n)
    return X, np.array([f"class {i}" for i in range(n_classes)])[target], cells.astype(np.uint64)


@pytest.mark.parametrize(
    "kind",
    [
        {"gaussian_process": False},
        {"gaussian_process": True},
        {"likelihood": "gaussian", "uncertainty_from": "variance"},
    ],
)
def test_passes_scikit_learns_estimator_checks(kind):
    # 95 fits: small ones
    model = ResNetClassifier(width=32, n_features=128, epochs=60, device="cpu", **kind)
    results = check_estimator(model, on_skip=None)
    assert {r["status"] for r in results} <= {"passed", "skipped"}


@pytest.mark.parametrize("n_classes", [2, 4])
def test_learns_what_a_line_cannot_divide(n_classes):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (600, 2))
    angle = np.arctan2(X[:, 1], X[:, 0]) + np.pi
    y = (angle / (np.pi / n_classes)).astype(int) % n_classes  # each class on two opposite sides
    model = ResNetClassifier(device="cpu", n_features=512).fit(X[:400], y[:400])
    assert (model.predict(X[400:]) == y[400:]).mean() > 0.85


@pytest.mark.parametrize("likelihood", ["logistic", "gaussian"])
def test_far_from_all_rows_it_is_less_sure(likelihood, device):
    X, y, cells = blobs()
    model = ResNetClassifier(**SMALL | {"device": str(device)}, likelihood=likelihood).fit(X, y, cells)
    far = X.mean(axis=0) + 200 * np.random.default_rng(1).standard_normal((100, X.shape[1]))
    assert np.median(model.uncertainty(far)) > np.quantile(model.uncertainty(X), 0.9)


def test_uncertainty_is_dempster_shafer_or_entropy_of_the_shrunk_logits():
    X, y, cells = blobs()
    model = ResNetClassifier(**SMALL).fit(X, y, cells)
    logits = model.logits(X)
    np.testing.assert_allclose(model.predict_proba(X), softmax(logits, axis=1))
    np.testing.assert_array_equal(model.uncertainty(X), dempster_shafer(logits))
    model.set_params(uncertainty_from="entropy")
    np.testing.assert_array_equal(model.uncertainty(X), normalised_entropy(softmax(logits, axis=1)))


@pytest.mark.parametrize("likelihood", ["logistic", "gaussian"])
def test_variance_is_what_all_rows_leave_of_the_priors(likelihood):
    X, y, cells = blobs()
    model = ResNetClassifier(**SMALL, likelihood=likelihood, uncertainty_from="variance", ridge=0.5)
    model.fit(X, y, cells)
    layer = model.network_.output

    def features(rows):
        return layer.features(model.network_.hidden(torch.from_numpy((rows - model.mean_) / model.scale_)))

    own, new = features(X), features(X + 3)
    p = (own @ layer.weight.T).softmax(dim=1)
    weight = (p * (1 - p)).amax(dim=1) if likelihood == "logistic" else torch.ones(len(own))
    precision = 0.5 * torch.eye(own.shape[1], dtype=torch.float64) + (own.T * weight) @ own
    left = 0.5 * torch.einsum("nd,de,ne->n", new, torch.linalg.inv(precision), new)
    np.testing.assert_allclose(model.uncertainty(X + 3), left.clamp(0, 1), atol=1e-9)
    assert np.median(model.uncertainty(X + 30)) > np.quantile(model.uncertainty(X), 0.9)


def test_directions_alone_count_where_that_is_asked_for():
    X, y, cells = blobs()
    X -= 100
    model = ResNetClassifier(**SMALL, direction=True).fit(X, y, cells)
    lengths = np.random.default_rng(1).uniform(0.1, 10, (len(X), 1))
    np.testing.assert_allclose(model.predict_proba(lengths * X), model.predict_proba(X), atol=1e-9)
    assert (model.predict(X) == y).mean() > 0.9
    assert len(set(model.scale_.tolist())) == 1  # angles stay as they are
    assert np.isfinite(model.predict_proba(np.zeros_like(X))).all()


def test_uncertain_rows_are_called_unknown_and_no_others():
    X, y, _ = blobs()
    model = ResNetClassifier(**SMALL).fit(X, y)
    threshold = float(np.median(model.uncertainty(X)))
    answer = model.predict(X, unknown_above=threshold)
    np.testing.assert_array_equal(answer == "unknown", model.uncertainty(X) > threshold)


def test_training_ends_on_cells_it_does_not_learn_from():
    rng = np.random.default_rng(0)
    cells = np.repeat(np.arange(40), 5)
    y = np.where(cells % 2 == 0, "a", "b")
    X = rng.standard_normal((200, 20)) + rng.standard_normal((40, 20))[cells]  # says nothing of other cells
    model = ResNetClassifier(**SMALL | {"epochs": 60, "patience": 3}).fit(X, y, cells)
    assert model.n_iter_ < 20
    assert ResNetClassifier(**SMALL | {"epochs": 60}).fit(X, y).n_iter_ == 60


def test_the_number_of_threads_is_put_back():
    X, y, cells = blobs()
    before = torch.get_num_threads()
    ResNetClassifier(**SMALL | {"epochs": 1}).fit(X, y, cells)
    with pytest.raises(LabelError):
        ResNetClassifier(**SMALL).fit(X, y, y)
    assert torch.get_num_threads() == before


def test_blocks_stay_below_the_spectral_bound():
    X, y, cells = blobs()
    model = ResNetClassifier(**SMALL | {"spectral_bound": 0.3, "learning_rate": 0.05}).fit(X, y, cells)
    norms = [float(torch.linalg.matrix_norm(w.weight, 2)) for w in model.network_.block_layers()]
    assert max(norms) <= 0.3 + 1e-6


def test_the_same_seed_gives_the_same_answer_and_leaves_torchs_generator_alone():
    X, y, cells = blobs()
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    first = ResNetClassifier(**SMALL, random_state=1).fit(X, y, cells).predict_proba(X)
    torch.testing.assert_close(torch.rand(3), wanted, atol=0, rtol=0)
    second = ResNetClassifier(**SMALL, random_state=1).fit(X, y, cells).predict_proba(X)
    np.testing.assert_array_equal(first, second)
    other = ResNetClassifier(**SMALL, random_state=2).fit(X, y, cells).predict_proba(X)
    assert (first != other).any()


@pytest.mark.parametrize("gaussian_process", [True, False])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_saved_and_loaded_answers_the_same(tmp_path, gaussian_process, n_classes):
    X, y, cells = blobs(n_classes)
    model = ResNetClassifier(**SMALL, gaussian_process=gaussian_process, class_weight={"class 1": 2.0})
    model.fit(X, y, cells).save(str(tmp_path), encoder_digest="abc")
    loaded = ResNetClassifier.load(str(tmp_path), encoder_digest="abc", device="cpu")
    np.testing.assert_array_equal(loaded.logits(X), model.logits(X))
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert loaded.get_params() == model.get_params()
    assert loaded.n_features_in_ == model.n_features_in_
    with pytest.raises(EncoderError, match="encoder abc"):
        ResNetClassifier.load(str(tmp_path), encoder_digest="def")


def test_files_of_another_classifier_are_refused(tmp_path):
    from segclr.classify import LinearClassifier

    X, y, _ = blobs()
    LinearClassifier().fit(X, y).save(str(tmp_path))
    with pytest.raises(CorruptDataError, match="expected a ResNetClassifier"):
        ResNetClassifier.load(str(tmp_path))


def test_bad_input_is_the_projects_own_error():
    X, y, cells = blobs()
    model = ResNetClassifier(**SMALL)
    with pytest.raises(DataError, match="NaN"):
        model.fit(np.where(X > 103, X, np.nan), y)
    with pytest.raises(LabelError, match="at least two classes"):
        model.fit(X, np.full(len(X), "axon"))
    with pytest.raises(LabelError, match="class class 0 has rows of one group only"):
        model.fit(X, y, np.where(y == "class 0", 1, cells))
    with pytest.raises(LabelError, match="groups must name"):
        model.fit(X, y, cells[:-1])
    with pytest.raises(DataError, match="6 features"):
        model.fit(X, y).predict(X[:, :3])


@pytest.mark.parametrize(
    "wrong",
    [
        {"likelihood": "poisson"},
        {"uncertainty_from": "margin"},
        {"uncertainty_from": "variance", "gaussian_process": False},
        {"epochs": 0},
        {"ridge": 0.0},
        {"l2": -1.0},
        {"spectral_bound": 0.0},
        {"validation_share": 1.0},
    ],
)
def test_parameters_out_of_range_are_told_when_fitting(wrong):
    X, y, _ = blobs()
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ResNetClassifier(**SMALL | wrong).fit(X, y)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e30])
def test_a_collapsed_encoder_gives_finite_answers(value):
    _, y, _ = blobs()
    X = np.full((len(y), 5), value, dtype=np.float32)
    assert np.isfinite(ResNetClassifier(**SMALL).fit(X, y).predict_proba(X)).all()
