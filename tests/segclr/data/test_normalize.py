import numpy as np
import pytest

from segclr.data.normalize import CLIP_LIMIT, TILE_VX, ZSCORE_MEAN, ZSCORE_SD, NormalizedSource, tile_map
from segclr.data.volume import ArraySource, Volume, open_volume
from segclr.errors import VolumeError
from segclr.geometry import BoundingBox

OFFSET = (50, -30, 7)
METHODS = ["clahe", "zscore"]


@pytest.fixture(scope="module")
def em():
    random = np.random.default_rng(0)
    grey = random.normal(120, 20, (3, 300, 333)) + np.linspace(-60, 60, 333)
    grey[1] += 30
    grey = np.clip(grey, 1, 255).astype(np.uint8)
    grey[:, :140, :150] = 0  # a corner without data, one whole tile of it
    grey[2, 200:210] = 0
    return grey


def normalized(array, method, offset=OFFSET):
    return Volume(NormalizedSource(ArraySource(array, (8.0, 8.0, 10.0), offset), method))


def naive(array, method, z, y, x):
    """One voxel from the definition, by plain loops."""
    section, value = array[z], int(array[z, y, x])
    if value == 0:
        return 0
    place = [(y + 0.5) / TILE_VX - 0.5, (x + 0.5) / TILE_VX - 0.5]
    total = share = 0.0
    for j in (int(np.floor(place[0])), int(np.floor(place[0])) + 1):
        for i in (int(np.floor(place[1])), int(np.floor(place[1])) + 1):
            if j < 0 or i < 0:
                continue
            tile = section[j * TILE_VX : (j + 1) * TILE_VX, i * TILE_VX : (i + 1) * TILE_VX]
            data = [int(v) for v in tile.ravel() if v]
            if not data:
                continue
            weight = (1 - abs(place[0] - j)) * (1 - abs(place[1] - i))
            if method == "zscore":
                grey = ZSCORE_MEAN + ZSCORE_SD * (value - np.mean(data)) / max(np.std(data), 1.0)
            else:
                counts = [min(data.count(g), CLIP_LIMIT * len(data) / 255) for g in range(1, 256)]
                excess = len(data) - sum(counts)
                grey = 1 + 254 * (sum(counts[:value]) + value * excess / 255) / len(data)
            total += weight * min(255.0, max(1.0, grey))
            share += weight
    return int(np.floor(total / share + 0.5))


@pytest.mark.parametrize("method", METHODS)
def test_a_voxel_is_what_the_definition_says(em, method):
    volume = normalized(em, method)
    got = volume.read(volume.bounds)
    random = np.random.default_rng(1)
    places = [tuple(int(random.integers(n)) for n in em.shape) for _ in range(12)]
    for z, y, x in [*places, (0, 299, 332), (0, 0, 332), (1, 140, 150), (2, 139, 149)]:
        assert abs(int(got[z, y, x]) - naive(em, method, z, y, x)) <= (0 if em[z, y, x] == 0 else 1)
    exact = [int(got[p]) == naive(em, method, *p) for p in places]
    assert np.mean(exact) > 0.8  # the order of sums may round one to the other side


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("block", [(64, 64, 1), (100, 37, 2), (128, 128, 3), (333, 1, 3)])
def test_the_result_does_not_depend_on_the_cut(em, method, block):
    volume = normalized(em, method)
    whole = volume.read(volume.bounds)
    for box in list(volume.bounds.blocks(block))[:: 1 if block[1] > 1 else 29]:
        assert np.array_equal(volume.read(box), whole[box.slices_zyx(OFFSET)])


@pytest.mark.parametrize("method", METHODS)
def test_the_result_moves_with_the_volume(em, method):
    there, here = normalized(em, method), normalized(em, method, (0, 0, 0))
    assert np.array_equal(there.read(there.bounds), here.read(here.bounds))


@pytest.mark.parametrize("method", METHODS)
def test_no_data_stay_no_data_and_data_never_become_it(em, method):
    volume = normalized(em, method)
    assert np.array_equal(volume.read(volume.bounds) == 0, em == 0)
    assert not volume.read(BoundingBox((0, 0, 0), (5, 5, 5))).any()


def test_a_brighter_section_becomes_like_the_others(em):
    for method in METHODS:
        volume = normalized(em, method)
        got = volume.read(volume.bounds)
        before = em[1, 150:].mean() - em[0, 150:].mean()
        assert abs(got[1, 150:].mean() - got[0, 150:].mean()) < before / 4


def test_maps_are_monotonic_and_flat_tiles_stay_finite():
    random = np.random.default_rng(2)
    for method in METHODS:
        for histogram in (random.integers(0, 100, 256), np.eye(256, dtype=int)[77] * 50):
            grey = tile_map(histogram, method)
            assert (np.diff(grey) >= 0).all()
            assert grey.min() >= 1
            assert grey.max() <= 255
    assert tile_map(np.eye(256, dtype=int)[77] * 50, "zscore")[77] == ZSCORE_MEAN


def test_only_uint8_can_be_normalised_and_only_by_known_methods():
    with pytest.raises(VolumeError, match="grey_range"):
        open_volume(np.zeros((4, 4, 4), np.uint16), voxel_size_nm=(8, 8, 8), normalize="clahe")
    with pytest.raises(VolumeError, match="'clahe' or 'zscore'"):
        open_volume(np.zeros((4, 4, 4), np.uint8), voxel_size_nm=(8, 8, 8), normalize="minmax")
    plain = open_volume(
        np.full((4, 4, 4), 9, np.uint16), voxel_size_nm=(8, 8, 8), grey_range=(0, 255), normalize="zscore"
    )
    assert (plain.read(plain.bounds) == ZSCORE_MEAN).all()
