"""Measures of learning and collapse against closed forms and slow re-derivations."""

import math

import pytest
import torch

from segclr.train.monitor import alignment, effective_rank, pair_top1, uniformity


def test_top1_of_equal_partners_is_1_and_of_collapse_is_chance_or_less():
    a = torch.randn(20, 8)
    assert pair_top1(a, 3 * a) == 1
    assert pair_top1(torch.ones(20, 8), torch.ones(20, 8)) <= 2 / 39


def test_top1_equals_a_search_in_loops():
    a, b = torch.randn(2, 9, 3, generator=torch.Generator().manual_seed(0))
    views = [*a, *b]
    hits = 0
    for i, view in enumerate(views):
        cosines = [
            -2.0 if j == i else float(torch.cosine_similarity(view, other, dim=0))
            for j, other in enumerate(views)
        ]
        hits += cosines.index(max(cosines)) == (i + 9) % 18
    assert pair_top1(a, b) == pytest.approx(hits / 18)


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_the_effective_rank_of_equal_spread_is_the_number_of_dimensions(rank):
    points = torch.cat([torch.eye(rank), -torch.eye(rank)])
    embeddings = torch.zeros(2 * rank, 16)
    embeddings[:, :rank] = points
    assert effective_rank(embeddings + 5) == pytest.approx(rank)


def test_the_effective_rank_of_a_point_is_0():
    assert effective_rank(torch.ones(10, 4)) == 0


def test_the_effective_rank_falls_when_one_dimension_dominates():
    embeddings = torch.randn(100, 8, generator=torch.Generator().manual_seed(0))
    stretched = embeddings * torch.tensor([50.0] + [1.0] * 7)
    assert effective_rank(stretched) < effective_rank(embeddings)


def test_alignment_is_0_for_equal_and_4_for_opposite_directions():
    a = torch.randn(5, 3)
    assert alignment(a, 2 * a) == pytest.approx(0)
    assert alignment(a, -a) == pytest.approx(4)


def test_uniformity_is_the_log_of_the_mean_potential():
    a = torch.randn(6, 3, dtype=torch.float64)
    unit = a / a.norm(dim=1, keepdim=True)
    potentials = [
        math.exp(-2 * float(((unit[i] - unit[j]) ** 2).sum())) for i in range(6) for j in range(i + 1, 6)
    ]
    assert uniformity(a) == pytest.approx(math.log(sum(potentials) / len(potentials)))
    assert uniformity(torch.ones(4, 3)) == pytest.approx(0)
