import pytest
import torch

from segclr.classify.random_features import RandomFeatures


@pytest.mark.parametrize("kernel_scale", [0.5, 2.0])
def test_inner_products_are_the_gaussian_kernel_up_to_noise_that_falls_with_their_number(kernel_scale):
    torch.manual_seed(0)
    x = torch.randn(60, 8)
    wanted = torch.exp(-torch.cdist(x, x).square() / (2 * kernel_scale))
    error = {}
    for n_features in (256, 16384):
        phi = RandomFeatures(8, n_features, kernel_scale=kernel_scale)(x)
        error[n_features] = float((phi @ phi.T - wanted).square().mean().sqrt())
    assert error[16384] < 0.02
    assert error[16384] < error[256] / 4  # 1 / sqrt(64) = 1 / 8 on average


def test_every_vector_of_features_has_a_length_of_about_one():
    torch.manual_seed(0)
    phi = RandomFeatures(3, 4096, kernel_scale=2.0)(100 * torch.randn(50, 3))
    torch.testing.assert_close(phi.square().sum(dim=1), torch.ones(50), atol=0.1, rtol=0)


def test_features_are_drawn_and_not_trained():
    assert not list(RandomFeatures(3, 10, kernel_scale=1.0).parameters())
