import itertools

import numpy as np
import pytest
from scipy.stats import t as student_t

from segclr.config import PlanConfig, RunConfig
from segclr.errors import DataError
from segclr.geometry import BoundingBox
from segclr.plan import BlockSample, Extent, assumed_content, sampled_content

VOLUME = {"em": "a", "segmentation": "b", "voxel_size_nm": [10, 10, 10]}
EXTENT = Extent(BoundingBox((0, 0, 0), (600, 100, 100)), (10, 10, 10), (50, 50, 50), 8)
NODES = [7, 40, 22, 31, 5, 60]  # of six blocks of 100^3


def config(**plan):
    tree = {"name": "n", "run": "r", "volume": VOLUME, "nodes": {"spacing_nm": 500}, "plan": plan}
    return RunConfig.model_validate(tree)


def sample(nodes, n_voxels=100**3):
    return BlockSample(n_voxels, cable_um=nodes * 0.5, n_trees=nodes / 10, n_nodes=nodes)


def test_straight_random_neurites_cross_a_box_in_as_many_pieces_as_told():
    """Cauchy's mean chord, drawn: random lines of a given length in a given volume."""
    random = np.random.default_rng(0)
    size = np.array([6.0, 4.0, 3.0])
    radius = np.linalg.norm(size) / 2
    directions = random.normal(size=(20_000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    # isotropic lines through a ball around the box: uniform over the disc across each direction
    across = np.linalg.svd(directions[:, None, :])[2][:, 1:]
    angle, distance = random.uniform(0, 2 * np.pi, 20_000), radius * np.sqrt(random.uniform(size=20_000))
    offset = distance[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points = size / 2 + np.einsum("nk,nkd->nd", offset, across)
    near, far = -points / directions, (size - points) / directions
    chord = np.minimum(near, far).max(axis=1), np.maximum(near, far).min(axis=1)
    lengths = np.maximum(0, chord[1] - chord[0])
    pieces, cable = (lengths > 0).sum(), lengths.sum()
    box = Extent(BoundingBox((0, 0, 0), (600, 400, 300)), (10, 10, 10), (50, 50, 50), 8)
    told = assumed_content(box, config(cable_um_per_um3=cable / 72, segment_um=1e12))
    assert told.cable_um.expected == pytest.approx(cable)
    assert told.n_segments.expected == pytest.approx(pieces, rel=0.02)


def test_assumed_nodes_are_whole_spacings_and_one_a_piece():
    content = assumed_content(EXTENT, config(cable_um_per_um3=4, cable_factor=3, segment_um=2))
    volume, surface = 6.0, 2 * (6 + 6 + 1)
    segments = 4 * (surface / 4 + volume / 2)
    assert content.n_nodes.expected == pytest.approx(4 * volume / 0.5 + segments)
    assert content.n_nodes.low == pytest.approx(content.n_nodes.expected / 3)
    assert content.n_nodes.high == pytest.approx(content.n_nodes.expected * 3)
    assert "4 um/um^3 assumed" in content.source


def test_cortex_is_assumed_denser_than_made_tissue():
    made = RunConfig.model_validate({"name": "n", "run": "r", "tissue": {}, "nodes": {"spacing_nm": 500}})
    assert assumed_content(EXTENT, config()).cable_um.expected == pytest.approx(5.4 * 6)
    assert assumed_content(EXTENT, made).cable_um.expected < 5.4 * 6


def test_the_standard_error_is_the_spread_over_all_possible_samples():
    """With equal blocks the estimate is unbiased, and its variance is what the samples tell on average."""
    told = [
        sampled_content([sample(n) for n in chosen], EXTENT, PlanConfig(), n_blocks=6).n_nodes
        for chosen in itertools.combinations(NODES, 3)
    ]
    totals = np.array([t.expected for t in told])
    errors = np.array([(t.high - t.expected) / student_t.ppf(0.975, df=2) for t in told])
    assert totals.mean() == pytest.approx(sum(NODES))
    assert (errors**2).mean() == pytest.approx(totals.var())


def test_all_blocks_leave_no_error():
    content = sampled_content([sample(n) for n in NODES], EXTENT, PlanConfig(), n_blocks=6)
    assert content.n_nodes.is_exact
    assert content.n_nodes.expected == pytest.approx(sum(NODES))
    assert content.n_segments.expected == pytest.approx(sum(NODES) / 10)
    assert content.cable_um.expected == pytest.approx(sum(NODES) / 2)


def test_smaller_blocks_at_the_border_count_by_their_voxels():
    halves = [sample(10), sample(5, n_voxels=100**3 // 2)]  # one density, so no spread
    content = sampled_content(halves, EXTENT, PlanConfig(), n_blocks=6)
    assert content.n_nodes.expected == pytest.approx(60)
    assert content.n_nodes.high == pytest.approx(60)


def test_one_block_of_many_tells_no_error_and_says_so():
    content = sampled_content([sample(10)], EXTENT, PlanConfig(cable_factor=3), n_blocks=6)
    assert (content.n_nodes.low, content.n_nodes.high) == pytest.approx((20, 180))
    assert "too few for a standard error" in content.source


def test_empty_blocks_are_a_sample_too():
    content = sampled_content([sample(0), sample(0)], EXTENT, PlanConfig(), n_blocks=6)
    assert content.n_nodes.expected == content.n_nodes.high == 0


def test_no_block_is_no_sample():
    with pytest.raises(DataError, match="at least one block"):
        sampled_content([], EXTENT, PlanConfig(), n_blocks=6)
