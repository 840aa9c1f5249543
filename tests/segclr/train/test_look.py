"""A look, as a whole: columns, what cannot be measured, order."""

import numpy as np
import pytest
import torch

from segclr.train.look import look_at
from segclr.train.watch import Distances

EMBEDDINGS = torch.randn(12, 5, generator=torch.Generator().manual_seed(0))
GROUPS = np.array([0, 0, 1, 1, 2, 2])


def test_the_columns_are_these():
    distances = Distances(np.arange(6.0), (0.0, 3.0, 5.0))
    assert list(look_at(EMBEDDINGS, GROUPS, distances)) == [
        "top1",
        "top5",
        "outranked",
        "chance_top1",
        "chance_top5",
        "n_views",
        "effective_rank",
        "dead_dimensions",
        "variance_min",
        "variance_median",
        "variance_max",
        "alignment",
        "uniformity",
        "cosine_negative",
        "cosine_positive",
        "cosine_positive_0_3_nm",
        "cosine_positive_3_5_nm",
    ]


def test_bins_weighed_by_their_pairs_give_the_mean_of_all_positives():
    row = look_at(EMBEDDINGS, GROUPS, Distances(np.arange(6.0), (0.0, 2.0, 5.0)))
    of_bins = (2 * row["cosine_positive_0_2_nm"] + 4 * row["cosine_positive_2_5_nm"]) / 6
    assert of_bins == pytest.approx(row["cosine_positive"])


def test_what_one_cell_alone_or_an_empty_bin_cannot_tell_is_none():
    row = look_at(EMBEDDINGS, np.zeros(6, np.int64), Distances(np.full(6, 4.0), (0.0, 3.0, 5.0)))
    absent = {name for name, value in row.items() if value is None}
    retrieval = {"top1", "top5", "outranked", "chance_top1", "chance_top5"}
    assert absent == retrieval | {"cosine_negative", "cosine_positive_0_3_nm"}


def test_the_order_of_the_pairs_does_not_matter():
    order = np.array([3, 1, 5, 0, 2, 4])
    shuffled = torch.cat([EMBEDDINGS[:6][order], EMBEDDINGS[6:][order]])
    assert look_at(shuffled, GROUPS[order], None) == pytest.approx(look_at(EMBEDDINGS, GROUPS, None))
