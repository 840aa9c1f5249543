import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segclr.data.volume import ArraySource, Volume, check_aligned, open_volume
from segclr.errors import ScaleError, VolumeError
from segclr.geometry import BoundingBox

SIZE = (8.0, 8.0, 40.0)
OFFSET = (10, -3, 7)
ARRAY = np.random.default_rng(0).integers(1, 2**64, (5, 6, 7), dtype=np.uint64)


def volume(array=ARRAY, size=SIZE, offset=OFFSET):
    return Volume(ArraySource(array, size, offset))


@given(st.tuples(*[st.integers(-15, 25)] * 3), st.tuples(*[st.integers(0, 14)] * 3))
def test_a_box_reads_zero_beyond_the_bounds_and_the_voxels_within(start, size):
    box = BoundingBox(start, tuple(a + b for a, b in zip(start, size, strict=True)))
    naive = np.zeros(box.shape_zyx, np.uint64)
    for z, y, x in np.ndindex(naive.shape):
        place = (start[2] + z - OFFSET[2], start[1] + y - OFFSET[1], start[0] + x - OFFSET[0])
        if all(0 <= p < n for p, n in zip(place, ARRAY.shape, strict=True)):
            naive[z, y, x] = ARRAY[place]
    got = volume().read(box)
    assert got.dtype == np.uint64
    assert np.array_equal(got, naive)


def test_an_array_opens_as_a_volume_at_the_origin():
    opened = open_volume(ARRAY, voxel_size_nm=SIZE)
    assert opened.bounds == BoundingBox((0, 0, 0), (7, 6, 5))
    assert np.array_equal(opened.read(opened.bounds), ARRAY)


@pytest.mark.parametrize(
    "url", ["http://x", "/plain/path", "s3://bucket/x", "hdf5:///x", "", "precomputed:/x"]
)
def test_an_unknown_scheme_is_refused_with_those_allowed(url):
    with pytest.raises(VolumeError, match="precomputed://, zarr://, n5://, graphene://"):
        open_volume(url, voxel_size_nm=SIZE)


@pytest.mark.parametrize("shape", [(), (4,), (4, 5), (1, 4, 5, 6)])
def test_an_array_that_is_not_three_dimensional_is_refused(shape):
    with pytest.raises(VolumeError, match=rf"three dimensions \[z, y, x\], got {len(shape)} with shape"):
        open_volume(np.zeros(shape, np.uint8), voxel_size_nm=SIZE)


def test_a_path_without_a_scheme_is_refused_with_those_allowed(tmp_path):
    with pytest.raises(VolumeError, match="must begin with precomputed://"):
        open_volume(tmp_path, voxel_size_nm=SIZE)


@pytest.mark.parametrize(
    "size",
    [(0, 8, 8), (8, -1, 8), (8, 8, float("nan")), (32, 40), (8, 8, 8, 8), 8, None, "888", ("8", "8", "8"),
     ((8, 8), 8, 8), (8, None, 8), [[8, 8, 8]]],
)  # fmt: skip
def test_a_voxel_size_that_is_not_positive_is_refused(size):
    for url in ("precomputed:///nowhere", ARRAY):
        with pytest.raises(VolumeError, match="voxel_size_nm must be three numbers above 0"):
            open_volume(url, voxel_size_nm=size)


def test_a_voxel_size_may_be_any_three_numbers():
    for size in ([8, 8, 40], np.array([8, 8, 40], np.float32), (np.int64(8), 8.0, 40)):
        assert open_volume(ARRAY, voxel_size_nm=size).voxel_size_nm == SIZE


def em(shape=(4, 5, 6), size=SIZE, offset=(0, 0, 0), dtype=np.uint8):
    return volume(np.zeros(shape, dtype), size, offset)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64])
def test_every_unsigned_segmentation_of_the_same_grid_is_taken(dtype):
    check_aligned(em(), em(dtype=dtype))


@pytest.mark.parametrize(
    ("segmentation", "expected"),
    [
        (em(shape=(4, 5, 7), dtype=np.uint64), "covers voxels"),
        (em(offset=(0, 1, 0), dtype=np.uint64), "covers voxels"),
        (em(size=(8.0, 8.0, 33.0), dtype=np.uint64), "8x8x33"),
        (em(dtype=np.float32), "float32"),
        (em(dtype=np.int64), "int64"),
        (em(dtype=bool), "bool"),
    ],
)
def test_a_segmentation_of_another_grid_or_kind_is_refused(segmentation, expected):
    with pytest.raises(VolumeError, match=expected):
        check_aligned(em(), segmentation)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.int8])
def test_em_that_is_not_uint8_is_refused(dtype):
    with pytest.raises(VolumeError, match=r"EM must be uint8.*volume\.grey_range"):
        check_aligned(em(dtype=dtype), em(dtype=np.uint64))


def test_volumes_that_do_not_overlap_are_told_from_those_that_do_in_part():
    with pytest.raises(VolumeError, match="they do not overlap"):
        check_aligned(em(), em(offset=(6, 0, 0), dtype=np.uint64))
    with pytest.raises(VolumeError, match=r"common_bounds: true .* \(2, 0, 0\) to \(6, 5, 4\), 66\.7%"):
        check_aligned(em(), em(offset=(2, 0, 0), dtype=np.uint64))


def test_a_cropped_volume_reads_the_same_within_and_zero_beyond():
    whole = volume()
    box = BoundingBox((8, 0, 9), (13, 2, 40))
    cropped = whole.crop(box)
    assert cropped.bounds == BoundingBox((10, 0, 9), (13, 2, 12))
    assert (cropped.voxel_size_nm, cropped.dtype, cropped.url) == (SIZE, np.uint64, "memory")
    around = cropped.bounds.grow(2)
    want = whole.read(around)
    beyond = np.ones(want.shape, bool)
    beyond[cropped.bounds.slices_zyx(around.start)] = False
    want[beyond] = 0
    assert np.array_equal(cropped.read(around), want)


def test_a_scale_error_is_a_lookup_error_and_a_value_error():
    assert issubclass(ScaleError, LookupError)
    assert issubclass(ScaleError, ValueError)
