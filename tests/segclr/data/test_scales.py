"""Of the stored scales the right one is read, or what there is and can be done is told."""

import numpy as np
import pytest
from cloudvolume import CloudVolume

from segclr.data.scales import stored_voxel_sizes
from segclr.errors import MissingDataError, ScaleError, VolumeError
from tests.segclr.data.precomputed_files import opened, write


@pytest.fixture
def three_scales(tmp_path):
    random = np.random.default_rng(3)
    arrays = [random.integers(0, 256, s, dtype=np.uint8) for s in [(8, 16, 16), (8, 8, 8), (8, 4, 4)]]
    cv = write(tmp_path, arrays[0], offset=(0, 0, 0), size=(8, 8, 40))
    for factor in (2, 4):
        cv.add_scale((factor, factor, 1))
    cv.commit_info()
    cv = CloudVolume(f"file://{tmp_path}", progress=False)
    for i in (1, 2):
        write(tmp_path, arrays[i], scale=i, cv=cv)
    return tmp_path, arrays


@pytest.mark.parametrize(
    ("size", "index"), [((8, 8, 40), 0), ((16, 16, 40), 1), ((16.7, 15.3, 41), 1), ((32, 33, 40), 2)]
)
def test_the_nearest_scale_within_five_percent_is_read(three_scales, size, index):
    folder, arrays = three_scales
    volume = opened(folder, size)
    assert volume.voxel_size_nm == (8 * 2**index, 8 * 2**index, 40)
    assert np.array_equal(volume.read(volume.bounds), arrays[index])


@pytest.mark.parametrize("size", [(20, 20, 40), (8, 8, 50), (17, 16, 40), (4, 4, 40)])
def test_a_scale_that_is_not_there_is_refused_with_a_list_of_those_that_are(three_scales, size):
    with pytest.raises(ScaleError, match="8x8x40, 16x16x40, 32x32x40"):
        opened(three_scales[0], size)


def test_the_stored_scales_are_told_finest_first(three_scales):
    assert stored_voxel_sizes(f"precomputed://file://{three_scales[0]}") == (
        (8, 8, 40),
        (16, 16, 40),
        (32, 32, 40),
    )
    with pytest.raises(MissingDataError):
        stored_voxel_sizes(f"precomputed://file://{three_scales[0] / 'elsewhere'}")


def test_downsampling_starts_from_the_coarsest_scale_that_divides(three_scales):
    folder, arrays = three_scales
    volume = opened(folder, (32, 32, 80), downsample="mean")
    pairs = arrays[2].astype(int).reshape(4, 2, 4, 4).sum(axis=1)
    assert volume.voxel_size_nm == (32, 32, 80)
    assert np.array_equal(volume.read(volume.bounds), (pairs + 1) // 2)
    with pytest.raises(ScaleError, match="32x32x40"):
        opened(folder, (12, 12, 40), downsample="mean")
    with pytest.raises(VolumeError, match="not one whole coarse voxel"):
        opened(folder, (32 * 20, 32 * 20, 40), downsample="mean")


def test_a_finer_scale_is_pointed_to_where_whole_factors_lead_to_the_size(three_scales):
    with pytest.raises(ScaleError, match=r"volume\.downsample: true reduces 32x32x40 nm by 1x1x2"):
        opened(three_scales[0], (32, 32, 80))
    with pytest.raises(ScaleError, match="whole factors") as fraction:
        opened(three_scales[0], (20, 20, 40))
    with pytest.raises(ScaleError, match="none of them is finer") as finer:
        opened(three_scales[0], (4, 4, 40), downsample="mean")
    assert "volume.downsample" not in str(fraction.value) + str(finer.value)
