"""What a training is watched by."""

import numpy as np
import pytest
import torch

from segclr.config import MonitorConfig
from segclr.errors import TrainingError
from segclr.train.watch import Distances, Probe, Watch


def test_bins_are_half_open_and_the_last_holds_its_upper_edge():
    distances = Distances(np.array([0.0, 99.9, 100.0, 250.0, 250.1, -1.0]), (0.0, 100.0, 250.0))
    means = distances.means(torch.tensor([1.0, 2.0, 4.0, 8.0, 1000.0, 1000.0]))
    assert means == {"cosine_positive_0_100_nm": 1.5, "cosine_positive_100_250_nm": 6.0}


def test_a_bin_without_pairs_has_no_mean():
    means = Distances(np.array([5.0]), (0.0, 1.0, 10.0)).means(torch.tensor([3.0]))
    assert np.isnan(means["cosine_positive_0_1_nm"])
    assert means["cosine_positive_1_10_nm"] == 3


@pytest.mark.parametrize("edges", [(), (1.0,), (0.0, 0.0), (2.0, 1.0)])
def test_edges_that_make_no_bins_are_refused(edges):
    with pytest.raises(TrainingError, match="two or more ascending"):
        Distances(np.array([1.0]), edges)


@pytest.mark.parametrize("n", [0, 2])
def test_columns_of_a_probe_must_match(n):
    with pytest.raises(TrainingError, match="one length above 0"):
        Probe(np.arange(n), np.full(3 if n else 0, "axon"), np.arange(n), lambda *_: 0.0)


def test_what_is_recorded_is_part_of_the_identity_and_where_it_is_shown_is_not():
    def identity(classes=("axon", "soma"), distances_nm=1.0, **config):
        probe = Probe(np.arange(2), np.array(classes), np.arange(2), lambda *_: 0.0)
        distances = Distances(np.array([distances_nm]), (0.0, 2.0))
        return Watch(config=MonitorConfig(**config), distances=distances, probe=probe).identity()

    assert identity() == identity() == identity(tensorboard=True)
    assert identity() != identity(probe_every=5)
    assert identity() != identity(classes=("axon", "glia"))
    assert identity() != identity(distances_nm=1.5)
