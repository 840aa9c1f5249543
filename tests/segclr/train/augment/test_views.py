"""Views as a whole: each is a pure function of one cube and its parameters."""

import numpy as np
import pytest
import torch

from segclr.config import AugmentConfig
from segclr.errors import TrainingError
from segclr.train import PairDataset, apply_views, center_views, random_views
from segclr.train.augment import draw_views, view_keys, views
from segclr.train.augment.grey import add_noise, blur
from segclr.train.augment.mask import lose

FAMILIES = {
    "published": {},
    "shift": {"shift_vx": 2},
    "noise": {"noise_sd": 0.4, "brightness": (0.2, 0.25)},
    "blur": {"blur_sd_vx": 1.5},
    "steps between sections": {"section_contrast": 0.5, "section_brightness": 0.5},
    "missing section": {"missing_section": 0.3, "noise_sd": 0.2},
    "missing section, mean": {"missing_section": 0.3, "missing_fill": "mean", "noise_sd": 0.2},
    "erosion": {"erode_vx": 2, "noise_sd": 0.2},
    "drop": {"drop_probability": 1.0, "noise_sd": 0.2},
}


def test_a_batch_equals_one_by_one(cubes, everything, draw):
    parameters = draw(everything, 12)
    batch = apply_views(cubes, parameters, size_vx=5)
    assert batch.shape == (12, 1, 5, 5, 5)
    for i in range(12):
        one = apply_views(cubes[i : i + 1], parameters.take(slice(i, i + 1)), size_vx=5)
        assert torch.allclose(one[0], batch[i], rtol=0, atol=1e-6)


def test_a_device_gives_what_the_cpu_gives(cubes, everything, draw, device):
    want = apply_views(cubes, draw(everything, 12), size_vx=5)
    got = apply_views(cubes.to(device), draw(everything, 12), size_vx=5)
    assert got.device.type == device.type
    assert torch.allclose(got.cpu(), want, rtol=0, atol=2e-5)


def test_how_many_are_handled_at_once_changes_nothing(cubes, everything, draw, monkeypatch):
    whole = apply_views(cubes, draw(everything, 12), size_vx=5)
    monkeypatch.setitem(views._VOXELS_AT_ONCE, "cpu", 5 * 9**3)
    assert torch.equal(apply_views(cubes, draw(everything, 12), size_vx=5), whole)


@pytest.mark.parametrize("fill", ["background", "mean"])
def test_a_view_equals_its_slow_derivation_in_the_volumes_own_frame(cubes, everything, draw, fill):
    """Sections before turning, one view after another, the grey formula voxel by voxel."""
    parameters = draw(everything.model_copy(update={"missing_fill": fill}), 12)
    found = apply_views(cubes, parameters, size_vx=5)[:, 0]
    levels, grey, place = parameters.sections.levels(9), parameters.grey, parameters.placement
    assert levels.missing.any()
    for i in range(12):
        one = parameters.take(slice(i, i + 1))
        z, y, x = place.starts[i].tolist()
        box = (slice(z, z + 5), slice(y, y + 5), slice(x, x + 5))
        stored = lose(cubes[i : i + 1], one.loss)[0][box].double().numpy()
        gain, offset, gone = (
            np.broadcast_to(column[i, box[0], None, None].double().numpy(), (5, 5, 5))
            for column in (levels.gains, levels.offsets, levels.missing)
        )
        mask = stored > 0
        mapped = float(grey.contrast[i]) * gain * stored / 255 + float(grey.brightness[i]) + offset
        mapped = np.clip(mapped, 0, 1) ** float(grey.gamma[i]) * mask
        within = torch.tensor([[False, True, True]])
        mapped = blur(torch.from_numpy(mapped[None]).float(), torch.from_numpy(mask[None]), one.grey, within)
        mapped = mapped[0].numpy()
        if fill == "mean":
            mapped = np.where(mask & (gone > 0), mapped.sum() / max(mask.sum(), 1), mapped)
        else:
            mask = mask & (gone == 0)
            mapped = mapped * mask
        flipped = [axis for axis in range(3) if place.flips[i, axis]]
        turned, turned_mask = (
            torch.from_numpy(np.flip(np.transpose(v, place.permutations[i].tolist()), flipped).copy())[None]
            for v in (mapped, mask)
        )
        wanted = add_noise(turned.float(), turned_mask, one.grey)[0]
        assert torch.allclose(found[i], wanted, atol=2e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_background_stays_0(cubes, draw, family):
    config = AugmentConfig(**FAMILIES[family])
    parameters = draw(config, 12)
    turned_only = AugmentConfig(
        shift_vx=config.shift_vx, contrast=(1, 1), brightness=(0, 0), log2_gamma=(0, 0)
    )
    foreground = apply_views((cubes > 0).to(torch.uint8), draw(turned_only, 12), size_vx=5) > 0
    found = apply_views(cubes, parameters, size_vx=5)
    assert (~foreground).any()
    assert (found[~foreground] == 0).all()
    assert (found[foreground] > 0).any()
    assert found.min() >= 0
    assert found.max() <= 1


def test_an_empty_cube_stays_empty_and_finite(everything, draw):
    for fill in ("background", "mean"):
        config = everything.model_copy(update={"missing_fill": fill})
        found = apply_views(torch.zeros(4, 9, 9, 9, dtype=torch.uint8), draw(config, 4), size_vx=5)
        assert (found == 0).all()


def test_nothing_configured_is_the_middle_of_the_cube(cubes, plain, draw):
    found = apply_views(cubes, draw(plain(), 12), size_vx=5)
    assert torch.allclose(found[:, 0], center_views(cubes, size_vx=5).float() / 255)


def test_what_is_switched_on_leaves_what_else_is_drawn_alone(draw, everything):
    few, many = draw(AugmentConfig(shift_vx=2), 50), draw(everything, 50)
    assert torch.equal(few.placement.starts, many.placement.starts)
    assert torch.equal(few.placement.flips, many.placement.flips)
    assert torch.equal(few.grey.contrast, many.grey.contrast)


def test_the_views_of_a_pair_are_those_of_their_keys_in_whatever_part_of_a_batch(data, everything):
    batch = PairDataset(data.cubes, data.training, batch_pairs=6, seed=0)[7]
    sizes = {"voxel_size_nm": (8.0, 8.0, 8.0), "size_vx": 9}
    whole = random_views(batch, everything, seed=4, **sizes)
    keys = view_keys(4, np.arange(42, 48))
    drawn = draw_views(everything, keys, voxel_size_nm=(8.0, 8.0, 8.0), margin_vx=2)
    assert torch.equal(whole, apply_views(torch.cat([batch.cubes_a, batch.cubes_b]), drawn, size_vx=9))
    part = batch._replace(**{k: getattr(batch, k)[2:4] for k in batch._fields if k != "step"})
    # some CPUs round the blur's batched products by the size of the batch
    found = random_views(part, everything, seed=4, **sizes)
    assert torch.allclose(found, whole[[2, 3, 8, 9]], rtol=0, atol=1e-6)


def test_the_partners_of_a_pair_look_different_even_when_they_are_the_same_cube(data, everything):
    batch = PairDataset(data.cubes, data.training, batch_pairs=6, seed=0)[0]
    same = batch._replace(cubes_b=batch.cubes_a)
    found = random_views(same, everything, seed=0, voxel_size_nm=(8.0, 8.0, 8.0), size_vx=9)
    for a, b in zip(*found.chunk(2), strict=True):
        assert not torch.equal(a, b)


def test_parameters_of_another_number_of_views_are_refused(cubes, draw):
    with pytest.raises(TrainingError, match="12 cubes need as many views' parameters, got 5"):
        apply_views(cubes, draw(AugmentConfig(), 5), size_vx=5)
