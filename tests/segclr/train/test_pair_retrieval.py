"""Held-out retrieval against a search in loops, and the candidate set at its edges."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segclr.train.pair_retrieval import pair_retrieval


def in_loops(a, b, groups):
    """Rank of every view's partner, counted one candidate after another."""
    n = len(a)
    views, cells = [*a.tolist(), *b.tolist()], [*groups, *groups]
    top = {1: [], 5: []}
    chance = {1: [], 5: []}
    outranked = []

    def cosine(u, v):
        dot = sum(x * y for x, y in zip(u, v, strict=True))
        return round(dot / np.sqrt(sum(x * x for x in u) * sum(x * x for x in v)), 9)

    for i, view in enumerate(views):
        own = cosine(view, views[(i + n) % (2 * n)])
        others = [cosine(view, views[j]) for j in range(2 * n) if cells[j] != cells[i]]
        if not others:
            continue
        nearer, tied = sum(c > own for c in others), sum(c == own for c in others)
        for k in (1, 5):
            places = range(nearer, nearer + tied + 1)  # where among its equals the partner may come
            top[k].append(sum(place < k for place in places) / len(places))
            chance[k].append(min(1, k / (len(others) + 1)))
        outranked.append(sum((c < own) + (c == own) / 2 for c in others) / len(others))
    return (*(np.mean(top[k]) for k in top), np.mean(outranked), *(np.mean(chance[k]) for k in chance))


@settings(max_examples=60)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 9), n_cells=st.integers(2, 6))
def test_it_equals_a_search_in_loops(seed, n, n_cells):
    random = np.random.default_rng(seed)
    a, b = random.integers(1, 4, (2, n, 2)).astype(np.float64)
    groups = random.integers(0, n_cells, n)
    groups[:2] = 0, 1
    found = pair_retrieval(torch.from_numpy(a), torch.from_numpy(b), torch.from_numpy(groups))
    numbers = (found.top1, found.top5, found.outranked, found.chance_top1, found.chance_top5)
    assert numbers == pytest.approx(in_loops(a, b, groups.tolist()))
    assert found.n_views == 2 * n


def test_equal_partners_of_different_cells_are_all_found():
    a = torch.randn(20, 8, generator=torch.Generator().manual_seed(0))
    found = pair_retrieval(a, 3 * a, torch.arange(20))
    assert (found.top1, found.top5, found.outranked) == (1, 1, 1)
    assert found.chance_top1 == pytest.approx(1 / 39)
    assert found.chance_top5 == pytest.approx(5 / 39)


def test_a_collapsed_encoder_scores_chance_exactly():
    same = torch.ones(12, 4)
    found = pair_retrieval(same, same, torch.arange(12) // 3)
    assert found.top1 == pytest.approx(found.chance_top1)
    assert found.top5 == pytest.approx(found.chance_top5)
    assert found.outranked == 0.5


def test_a_copy_in_another_pair_of_the_same_cell_is_no_candidate():
    random = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 6, 16, generator=random)
    a[1] = a[0]  # cell 0 has two pairs that share a cube
    groups = torch.tensor([0, 0, 1, 2, 3, 4])
    b = a + 0.01 * b
    assert pair_retrieval(a, b, groups).top1 == 1


def test_views_without_a_view_of_another_cell_are_not_judged():
    a = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    found = pair_retrieval(a, a, torch.zeros(3, dtype=torch.int64))
    assert found.n_views == 0
    assert np.isnan(found.top1)
