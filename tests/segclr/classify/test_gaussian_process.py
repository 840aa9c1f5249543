import numpy as np
import pytest
import torch
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from torch import nn

from segclr.classify.gaussian_process import GaussianProcessLayer

RIDGE, SCALE = 0.25, 2.0


def layer_at_its_mode(x, target, *, n_features):
    """The layer alone, its weights where the posterior of two classes is highest."""
    torch.manual_seed(0)
    layer = GaussianProcessLayer(
        x.shape[1], 1, n_features=n_features, kernel_scale=SCALE, ridge=RIDGE
    ).double()
    optimizer = torch.optim.LBFGS(
        layer.parameters(), max_iter=500, tolerance_grad=1e-9, line_search_fn="strong_wolfe"
    )

    def loss():
        optimizer.zero_grad()
        log_loss = nn.functional.binary_cross_entropy_with_logits(layer(x)[:, 0], target, reduction="sum")
        total = log_loss + RIDGE / 2 * layer.weight.square().sum()
        total.backward()
        return total

    optimizer.step(loss)
    return layer


def two_clouds(n=40):
    rng = np.random.default_rng(0)
    target = np.arange(n) % 2
    return rng.standard_normal((n, 2)) + 1.5 * target[:, None], target


def test_answers_the_laplace_approximation_of_an_exact_gaussian_process_classifier():
    X, y = two_clouds()
    exact = GaussianProcessClassifier(
        ConstantKernel(1 / RIDGE) * RBF(np.sqrt(SCALE)), optimizer=None, max_iter_predict=1000
    ).fit(X, y)
    x = torch.from_numpy(X)
    layer = layer_at_its_mode(x, torch.from_numpy(y).double(), n_features=8192)
    with torch.no_grad():
        p = torch.sigmoid(layer(x)[:, 0])
        # in two batches: the precision is a sum
        w = p * (1 - p)
        layer.fit_covariance([(x[:15], w[:15]), (x[15:], w[15:])], n_rows=len(x))
        place = np.random.default_rng(1).uniform(-6, 8, (200, 2))
        mean = layer(torch.from_numpy(place))[:, 0].numpy()
        variance = layer.variance(torch.from_numpy(place)).numpy()
    wanted_mean, wanted_variance = exact.latent_mean_and_variance(place)
    # three times the noise of a kernel of 8192 random features, 4 sqrt(2 / 8192)
    np.testing.assert_allclose(mean, wanted_mean, atol=0.19)
    np.testing.assert_allclose(variance, wanted_variance, atol=0.19)
    shrunk = mean / np.sqrt(1 + np.pi / 8 * variance)
    np.testing.assert_allclose(1 / (1 + np.exp(-shrunk)), exact.predict_proba(place)[:, 1], atol=0.03)


@pytest.mark.parametrize("weight", [1.0, 0.1])
@pytest.mark.parametrize("n_rows", [30, 50, 80])
def test_the_covariance_is_the_inverse_of_ridge_and_weighted_features(weight, n_rows):
    torch.manual_seed(0)
    layer = GaussianProcessLayer(3, 2, n_features=50, kernel_scale=2.0, ridge=0.01).double()
    h = torch.randn(n_rows, 3, dtype=torch.float64)
    batches = [(part, torch.full((len(part),), weight)) for part in (h[:10], h[10:])]
    layer.fit_covariance(batches, n_rows=n_rows)
    phi = layer.features(h)
    torch.manual_seed(1)
    h_there = torch.randn(7, 3, dtype=torch.float64)
    there = layer.features(h_there)
    inverse = torch.linalg.inv(0.01 * torch.eye(50) + weight * phi.T @ phi)
    torch.testing.assert_close(layer.variance(h_there), (there @ inverse * there).sum(dim=1))


def test_far_from_all_data_the_variance_is_the_priors():
    torch.manual_seed(0)
    layer = GaussianProcessLayer(4, 3, n_features=2048, kernel_scale=2.0, ridge=0.5).double()
    h = torch.randn(100, 4, dtype=torch.float64)
    torch.testing.assert_close(layer.variance(h), torch.full((100,), 2.0).double(), atol=0.2, rtol=0)
    layer.fit_covariance([(h, torch.ones(100))], n_rows=100)
    assert float(layer.variance(h).max()) < 1.0
    assert float(layer.variance(h + 100).min()) > 1.5


def test_a_second_pass_begins_anew():
    torch.manual_seed(0)
    layer = GaussianProcessLayer(4, 3, n_features=64, kernel_scale=2.0, ridge=0.5).double()
    h = torch.randn(10, 4, dtype=torch.float64)
    layer.fit_covariance([(h, torch.ones(10))], n_rows=10)
    first = layer.variance(h)
    layer.fit_covariance([(h, torch.ones(10))], n_rows=10)
    torch.testing.assert_close(layer.variance(h), first, atol=0, rtol=0)
