import builtins

import networkx as nx
import numpy as np
import pytest

from segclr.config import SkeletonConfig
from segclr.data.skeletonize import skeletonize_array
from segclr.errors import ConfigError
from segclr.geometry import voxels_of_points

TUBE, FORK, DUST = 2**63 + 5, 2**63 + 6, 2**64 - 1
SIZE, OFFSET = (8.0, 8.0, 10.0), (100, -50, 7)
CONFIG = SkeletonConfig(min_segment_vx=100, teasar_scale=1.5, teasar_const_nm=50.0)


@pytest.fixture(scope="module")
def labels():
    z, y, x = np.indices((20, 40, 60))
    made = np.zeros(z.shape, np.uint64)
    made[((z - 10) ** 2 + (y - 10) ** 2 <= 16) & (x > 2) & (x < 57)] = TUBE
    made[((z - 10) ** 2 + (y - 24) ** 2 <= 9) & (x > 2) & (x < 57)] = FORK
    made[((z - 10) ** 2 + (x - 30) ** 2 <= 9) & (y >= 24) & (y < 38)] = FORK
    made[0, 0, :5] = DUST
    return made


@pytest.fixture(scope="module")
def skeletons(labels):
    return skeletonize_array(labels, CONFIG, voxel_size_nm=SIZE, offset_vx=OFFSET)


def test_every_segment_but_dust_has_a_skeleton_sorted_by_id(skeletons):
    assert [s.segment_id for s in skeletons] == [TUBE, FORK]


def test_vertices_lie_at_voxel_centres_of_their_own_segment(labels, skeletons):
    for skeleton in skeletons:
        places = voxels_of_points(skeleton.points_nm, SIZE)
        np.testing.assert_allclose((places + 0.5) * SIZE, skeleton.points_nm, atol=1e-3)
        x, y, z = (places - np.asarray(OFFSET)).T
        assert (labels[z, y, x] == skeleton.segment_id).all()


def test_a_tube_is_one_path_along_its_axis(skeletons):
    tube = skeletons[0]
    children = np.bincount(tube.parents[tube.parents >= 0], minlength=len(tube))
    assert (tube.parents < 0).sum() == 1
    assert children.max() <= 2
    axis = (np.array([0, 10, 10]) + np.array(OFFSET) + 0.5) * SIZE
    middle = np.abs(tube.points_nm[:, 0] - (30 + OFFSET[0]) * SIZE[0]) < 20 * SIZE[0]
    assert np.abs(tube.points_nm[middle, 1:] - axis[1:]).max() < 1  # ends may bend to the rim
    assert 0.85 * 54 * 8 < tube.cable_length_nm < 1.2 * 54 * 8
    assert np.median(tube.radii_nm) == pytest.approx(4 * 8, rel=0.1)


def test_a_fork_is_one_tree_with_three_ends(skeletons):
    fork = skeletons[1]
    edges = [(i, int(p)) for i, p in enumerate(fork.parents) if p >= 0]
    assert nx.is_tree(nx.Graph(edges))
    assert sum(degree == 1 for _, degree in nx.Graph(edges).degree) == 3
    assert all(p < i for i, p in edges)


def test_an_offset_moves_points_and_nothing_else(labels, skeletons):
    at_origin = skeletonize_array(labels, CONFIG, voxel_size_nm=SIZE)
    for one, other in zip(at_origin, skeletons, strict=True):
        np.testing.assert_allclose(one.points_nm + np.array(OFFSET) * SIZE, other.points_nm, atol=1e-3)
        assert np.array_equal(one.parents, other.parents)


def test_nothing_but_background_has_no_skeleton():
    assert skeletonize_array(np.zeros((5, 5, 5), np.uint64), CONFIG, voxel_size_nm=SIZE) == []


def test_without_kimimaro_the_error_says_what_to_install(labels, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "kimimaro":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"segclr\[skeletonize\]"):
        skeletonize_array(labels, CONFIG, voxel_size_nm=SIZE)
