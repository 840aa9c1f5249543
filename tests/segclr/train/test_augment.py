"""Augmentation: what is drawn, and that applying it is a pure function of one cube and its parameters."""

import itertools

import numpy as np
import pytest
import torch

from segclr.config import AugmentConfig
from segclr.errors import TrainingError
from segclr.train import apply_views, center_views, sample_views
from segclr.train.augment import ViewParameters, allowed_permutations

ISOTROPIC = (20.0, 20.0, 20.0)
PLAIN = AugmentConfig(
    axis_permutations=False, flips=False, contrast=(1, 1), brightness=(0, 0), log2_gamma=(0, 0)
)


def sample(config, n, *, seed=0, voxel_size_nm=ISOTROPIC, margin_vx=2):
    generator = torch.Generator().manual_seed(seed)
    return sample_views(config, n, voxel_size_nm=voxel_size_nm, margin_vx=margin_vx, generator=generator)


def random_cubes(n, edge=9, seed=0):
    cubes = np.random.default_rng(seed).integers(0, 256, (n, edge, edge, edge), dtype=np.uint8)
    cubes[:, :, : edge // 3] = 0
    return torch.from_numpy(cubes)


def only(parameters, i):
    columns = ("starts", "permutations", "flips", "greys", "noise_seeds")
    rows = {name: getattr(parameters, name)[i : i + 1] for name in columns}
    return ViewParameters(**rows, noise_sd=parameters.noise_sd)


def test_a_batch_equals_one_by_one():
    cubes = random_cubes(12)
    parameters = sample(AugmentConfig(shift_vx=2, noise_sd=0.1), 12)
    batch = apply_views(cubes, parameters, size_vx=5)
    assert batch.shape == (12, 1, 5, 5, 5)
    for i in range(12):
        assert torch.equal(apply_views(cubes[i : i + 1], only(parameters, i), size_vx=5)[0], batch[i])


def test_a_view_equals_its_slow_derivation():
    cubes = random_cubes(20)
    config = AugmentConfig(shift_vx=2)
    parameters = sample(config, 20)
    views = apply_views(cubes, parameters, size_vx=5)[:, 0]
    for i in range(20):
        z, y, x = parameters.starts[i].tolist()
        wanted = cubes[i].numpy()[z : z + 5, y : y + 5, x : x + 5]
        wanted = np.transpose(wanted, parameters.permutations[i].tolist())
        wanted = np.flip(wanted, [axis for axis in range(3) if parameters.flips[i, axis]])
        wanted = parameters.greys[i].numpy()[wanted]
        assert np.array_equal(views[i].numpy(), wanted)


def test_greys_follow_the_published_formula():
    config = PLAIN.model_copy(
        update={"contrast": (1.2, 1.2), "brightness": (-0.1, -0.1), "log2_gamma": (0.5, 0.5)}
    )
    greys = sample(config, 1).greys[0].double()
    values = torch.arange(256).double() / 255
    wanted = (1.2 * values - 0.1).clip(0, 1) ** (2**0.5)
    wanted[0] = 0
    assert torch.allclose(greys, wanted, atol=1e-6)


def test_background_stays_0_whatever_is_drawn():
    config = AugmentConfig(shift_vx=2, noise_sd=0.3, brightness=(0.2, 0.25))
    parameters = sample(config, 30)
    cubes = random_cubes(30)
    mask = (cubes > 0).to(torch.uint8)  # value 1 marks the foreground and moves as the cube does
    plain = ViewParameters(
        parameters.starts,
        parameters.permutations,
        parameters.flips,
        torch.arange(256).float().expand(30, -1),
        parameters.noise_seeds,
        0.0,
    )
    foreground = apply_views(mask, plain, size_vx=5)
    views = apply_views(cubes, parameters, size_vx=5)
    assert (views[foreground == 0] == 0).all()
    assert (views[foreground == 1] > 0).double().mean() > 0.9
    assert views.min() >= 0
    assert views.max() <= 1


def test_nothing_configured_is_the_middle_of_the_cube():
    cubes = random_cubes(3)
    views = apply_views(cubes, sample(PLAIN, 3), size_vx=5)
    assert torch.allclose(views[:, 0], center_views(cubes, size_vx=5).float() / 255)


def test_all_48_orientations_occur_about_equally_often():
    parameters = sample(AugmentConfig(), 4800)
    rows = torch.cat([parameters.permutations, parameters.flips.long()], dim=1).tolist()
    counts = {key: rows.count(list(key)) for key in set(map(tuple, rows))}
    wanted = {(*p, *f) for p in itertools.permutations(range(3)) for f in itertools.product((0, 1), repeat=3)}
    assert set(counts) == wanted
    assert min(counts.values()) > 60  # 100 expected, spread 10
    assert max(counts.values()) < 140


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_flips_reach_every_axis(axis):
    config = PLAIN.model_copy(update={"flips": True})
    ramp = torch.arange(1, 6, dtype=torch.uint8).view([-1 if a == axis else 1 for a in range(3)])
    views = apply_views(ramp.expand(64, 5, 5, 5), sample(config, 64, margin_vx=0), size_vx=5)[:, 0]
    first, last = views.select(axis + 1, 0), views.select(axis + 1, 4)
    reversed_share = float((first > last).double().mean())
    assert 0.25 < reversed_share < 0.75


def test_axes_are_permuted_only_among_equal_voxel_sizes():
    assert len(allowed_permutations((32.0, 32.0, 33.0))) == 6
    assert allowed_permutations((32.0, 32.0, 40.0)) == [(0, 1, 2), (0, 2, 1)]
    assert allowed_permutations((8.0, 16.0, 40.0)) == [(0, 1, 2)]
    drawn = sample(AugmentConfig(), 200, voxel_size_nm=(32.0, 32.0, 40.0)).permutations
    assert {tuple(p) for p in drawn.tolist()} == {(0, 1, 2), (0, 2, 1)}


def test_every_shift_within_the_margin_occurs_and_none_beyond():
    starts = sample(AugmentConfig(shift_vx=2), 500, margin_vx=3).starts
    for axis in range(3):
        assert sorted(set(starts[:, axis].tolist())) == [1, 2, 3, 4, 5]


def test_a_shift_beyond_the_margin_is_refused():
    with pytest.raises(TrainingError, match=r"a shift of 3 voxels needs that margin .* got 2"):
        sample(AugmentConfig(shift_vx=3), 4)


def test_views_draw_independently_of_each_other():
    parameters = sample(AugmentConfig(shift_vx=2), 4000)
    numbers = torch.cat(
        [parameters.starts.double(), parameters.flips.double(), parameters.greys[:, [60, 128, 200]].double()],
        dim=1,
    )
    a, b = numbers[0::2], numbers[1::2]
    a, b = (a - a.mean(0)) / a.std(0), (b - b.mean(0)) / b.std(0)
    correlation = a.T @ b / len(a)
    assert correlation.abs().max() < 0.1  # spread 1 / sqrt(2000) = 0.022


def test_the_same_generator_state_gives_the_same_views():
    cubes = random_cubes(4)
    config = AugmentConfig(shift_vx=1, noise_sd=0.1)
    a, b, c = (apply_views(cubes, sample(config, 4, seed=s), size_vx=5) for s in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
