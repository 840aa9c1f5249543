"""Measures of learning and collapse against closed forms and slow re-derivations."""

import math

import numpy as np
import pytest
import torch

from segclr.train.monitor import (
    alignment,
    cosine_of_others,
    cosine_of_partners,
    dead_dimensions,
    dimension_variances,
    effective_rank,
    uniformity,
)


def rows(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_the_effective_rank_of_equal_spread_is_the_number_of_dimensions(rank):
    points = torch.cat([torch.eye(rank), -torch.eye(rank)])
    embeddings = torch.zeros(2 * rank, 16)
    embeddings[:, :rank] = points
    assert effective_rank(embeddings + 5) == pytest.approx(rank)


def test_the_effective_rank_of_a_point_is_0():
    assert effective_rank(torch.ones(10, 4)) == 0


def test_the_effective_rank_falls_when_one_dimension_dominates():
    embeddings = rows(100, 8)
    stretched = embeddings * torch.tensor([50.0] + [1.0] * 7)
    assert effective_rank(stretched) < effective_rank(embeddings)


def test_alignment_is_0_for_equal_and_4_for_opposite_directions():
    a = rows(5, 3)
    assert alignment(a, 2 * a) == pytest.approx(0)
    assert alignment(a, -a) == pytest.approx(4)


def test_alignment_is_2_less_twice_the_cosine_of_partners():
    a, b = rows(30, 6), rows(30, 6, seed=1)
    assert alignment(a, b) == pytest.approx(2 - 2 * float(cosine_of_partners(a, b).mean()))


def test_uniformity_is_the_log_of_the_mean_potential():
    a = rows(6, 3).double()
    unit = a / a.norm(dim=1, keepdim=True)
    potentials = [
        math.exp(-2 * float(((unit[i] - unit[j]) ** 2).sum())) for i in range(6) for j in range(i + 1, 6)
    ]
    assert uniformity(a) == pytest.approx(math.log(sum(potentials) / len(potentials)))
    assert uniformity(torch.ones(4, 3)) == pytest.approx(0)


def test_variances_are_1_for_directions_spread_evenly_and_0_for_a_point():
    axes = torch.cat([torch.eye(6), -torch.eye(6)]) * torch.arange(1, 13)[:, None]
    torch.testing.assert_close(dimension_variances(axes), torch.ones(6, dtype=torch.float64))
    assert float(dimension_variances(torch.ones(5, 3)).max()) == pytest.approx(0)


def test_dimensions_that_never_change_are_dead_whatever_the_scale():
    embeddings = rows(50, 8)
    embeddings[:, :2] = 0
    assert dead_dimensions(embeddings) == dead_dimensions(1e3 * embeddings) == 2 / 8
    assert dead_dimensions(torch.ones(9, 4)) == 1


def test_the_cosine_of_others_is_the_mean_over_all_pairs_of_different_cells():
    values, groups = rows(7, 4), torch.tensor([0, 0, 1, 2, 2, 2, 1])
    cosines = [
        np.dot(u, v) / np.linalg.norm(u) / np.linalg.norm(v)
        for i, u in enumerate(values.numpy())
        for j, v in enumerate(values.numpy())
        if groups[i] != groups[j]
    ]
    assert cosine_of_others(values, groups) == pytest.approx(np.mean(cosines), rel=1e-5)
    assert math.isnan(cosine_of_others(values, torch.zeros(7)))
