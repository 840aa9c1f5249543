"""Where a view lies and how it is turned."""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from segclr.config import AugmentConfig
from segclr.errors import TrainingError
from segclr.train import apply_views
from segclr.train.augment import allowed_permutations
from segclr.train.augment.placement import place, section_numbers


def orientations(placement):
    rows = torch.cat([placement.permutations, placement.flips.long()], dim=1)
    return [tuple(row) for row in rows.tolist()]


def all_orientations(permutations):
    return {(*p, *f) for p in permutations for f in itertools.product((0, 1), repeat=3)}


def test_a_placed_cube_equals_cropping_transposing_and_flipping(cubes, draw):
    placement = draw(AugmentConfig(shift_vx=2), 12).placement
    placed = place(cubes, placement, size_vx=5)
    sections = section_numbers(placement, size_vx=5, n_sections=9, device=cubes.device)
    depth = np.broadcast_to(np.arange(9)[:, None, None], (9, 9, 9))
    for i in range(12):
        z, y, x = placement.starts[i].tolist()
        for found, stored in ((placed[i], cubes[i].numpy()), (sections[i] - 9 * i, depth)):
            wanted = stored[z : z + 5, y : y + 5, x : x + 5]
            wanted = np.transpose(wanted, placement.permutations[i].tolist())
            wanted = np.flip(wanted, [axis for axis in range(3) if placement.flips[i, axis]])
            assert np.array_equal(found.numpy(), wanted)


@pytest.mark.parametrize(
    ("voxel_size_nm", "keys", "n"),
    [
        ((20.0, 20.0, 20.0), {}, 48),
        ((32.0, 32.0, 33.0), {}, 48),
        ((32.0, 32.0, 40.0), {}, 16),
        ((8.0, 16.0, 40.0), {}, 8),
        ((32.0, 32.0, 40.0), {"permute_unequal": True}, 48),
        ((20.0, 20.0, 20.0), {"axis_permutations": False}, 8),
        ((20.0, 20.0, 20.0), {"flips": False}, 6),
    ],
)
def test_each_allowed_orientation_occurs_and_all_equally_often(draw, voxel_size_nm, keys, n):
    drawn = orientations(draw(AugmentConfig(**keys), 200 * n, voxel_size_nm=voxel_size_nm).placement)
    found, counts = np.unique(drawn, axis=0, return_counts=True)
    assert len(found) == n
    if n == 48:
        assert set(map(tuple, found.tolist())) == all_orientations(itertools.permutations(range(3)))
    if voxel_size_nm == (32.0, 32.0, 40.0) and not keys:  # z stays z
        assert set(found[:, 0].tolist()) == {0}
    assert stats.chisquare(counts).pvalue > 1e-4


def test_the_48_orientations_make_48_different_views_of_a_cube_without_symmetry(draw):
    cube = torch.arange(27, dtype=torch.uint8).view(1, 3, 3, 3)
    placement = draw(AugmentConfig(), 2000, margin_vx=0).placement
    views = place(cube.expand(2000, 3, 3, 3), placement, size_vx=3)
    assert len(views.flatten(1).unique(dim=0)) == 48


def test_the_two_views_of_a_pair_turn_independently(draw):
    drawn = orientations(draw(AugmentConfig(), 40_000).placement)
    number = {orientation: i for i, orientation in enumerate(sorted(set(drawn)))}
    a, b = np.array([number[o] for o in drawn]).reshape(2, -1)
    assert abs((a == b).mean() - 1 / 48) < 4.5 * np.sqrt(1 / 48 * 47 / 48 / 20_000)
    table = np.zeros((48, 48), int)
    np.add.at(table, (a, b), 1)
    assert stats.chi2_contingency(table).pvalue > 1e-4


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_flips_reach_every_axis(plain, draw, axis):
    ramp = torch.arange(1, 6, dtype=torch.uint8).view([-1 if a == axis else 1 for a in range(3)])
    parameters = draw(plain(flips=True), 400, margin_vx=0)
    views = apply_views(ramp.expand(400, 5, 5, 5), parameters, size_vx=5)[:, 0]
    reversed_ = (views.select(axis + 1, 0) > views.select(axis + 1, 4)).all(dim=(1, 2))
    assert stats.binomtest(int(reversed_.sum()), 400).pvalue > 1e-4
    for other in {0, 1, 2} - {axis}:  # no other flip touches it
        assert torch.equal(reversed_, parameters.placement.flips[:, axis])
        assert not torch.equal(reversed_, parameters.placement.flips[:, other])


def test_axes_are_permuted_only_among_equal_voxel_sizes():
    assert len(allowed_permutations((32.0, 32.0, 33.0))) == 6
    assert allowed_permutations((32.0, 32.0, 40.0)) == [(0, 1, 2), (0, 2, 1)]
    assert allowed_permutations((40.0, 32.0, 32.0)) == [(0, 1, 2), (1, 0, 2)]
    assert allowed_permutations((8.0, 16.0, 40.0)) == [(0, 1, 2)]


def test_every_shift_within_the_margin_occurs_and_none_beyond(draw):
    starts = draw(AugmentConfig(shift_vx=2), 2000, margin_vx=3).placement.starts
    for axis in range(3):
        values, counts = starts[:, axis].unique(return_counts=True)
        assert values.tolist() == [1, 2, 3, 4, 5]
        assert stats.chisquare(counts.numpy()).pvalue > 1e-4


def test_a_shift_beyond_the_margin_is_refused(draw):
    with pytest.raises(TrainingError, match=r"a shift of 3 voxels needs that margin .* got 2"):
        draw(AugmentConfig(shift_vx=3), 4)
