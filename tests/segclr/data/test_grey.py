from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segclr.data.grey import to_uint8
from segclr.data.volume import check_aligned, open_volume
from segclr.errors import VolumeError
from segclr.geometry import BoundingBox

SIZE = (8, 8, 10)


def naive(value, low, high):
    return min(255, max(0, floor((Fraction(value.item()) - low) * 255 / (high - low) + Fraction(1, 2))))


@given(
    st.integers(-500, 500), st.integers(1, 70000), st.sampled_from(["u1", "i1", "u2", "i2", "u4", "f4", "f8"])
)
def test_each_value_is_scaled_rounded_half_up_and_cut_off(low, width, dtype):
    kind = np.dtype(dtype)
    limits = (-1000, 70000) if kind.kind == "f" else (np.iinfo(kind).min, min(np.iinfo(kind).max, 2**32 - 1))
    values = np.linspace(*limits, 97).astype(kind)
    got = to_uint8(values, (low, low + width))
    assert got.dtype == np.uint8
    assert got.tolist() == [naive(v, low, low + width) for v in values]


def test_the_ends_of_the_range_become_black_and_white():
    em = np.array([[[100, 300, 200, 99, 301]]], np.uint16)
    volume = open_volume(em, voxel_size_nm=SIZE, grey_range=(100, 300))
    assert volume.dtype == np.uint8
    assert volume.read(volume.bounds).ravel().tolist() == [0, 255, 128, 0, 255]
    assert volume.read(BoundingBox((4, 0, 0), (6, 1, 1))).ravel().tolist() == [255, 0]


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.int8])
def test_em_that_is_not_uint8_is_refused_with_the_key_to_set(dtype):
    em = open_volume(np.zeros((4, 4, 4), dtype), voxel_size_nm=SIZE)
    segmentation = open_volume(np.zeros((4, 4, 4), np.uint64), voxel_size_nm=SIZE)
    with pytest.raises(VolumeError, match=r"volume\.grey_range"):
        check_aligned(em, segmentation)
    scaled = open_volume(np.zeros((4, 4, 4), dtype), voxel_size_nm=SIZE, grey_range=(0, 100))
    check_aligned(scaled, segmentation)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused_where_it_is_read(bad):
    em = np.zeros((4, 4, 4), np.float32)
    em[2, 2, 2] = bad
    volume = open_volume(em, voxel_size_nm=SIZE, grey_range=(0, 1))
    with pytest.raises(VolumeError, match="1 of 64 grey values"):
        volume.read(volume.bounds)
    assert not volume.read(BoundingBox((0, 0, 0), (2, 2, 2))).any()


@pytest.mark.parametrize("grey_range", [(1, 1), (2, 1), (0, float("nan")), (float("-inf"), 0)])
def test_a_range_that_is_none_is_refused(grey_range):
    with pytest.raises(VolumeError, match="grey_range"):
        open_volume(np.zeros((4, 4, 4), np.uint16), voxel_size_nm=SIZE, grey_range=grey_range)
