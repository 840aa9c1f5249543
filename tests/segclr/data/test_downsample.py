from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segclr.data.downsample import Downsampled, reduce_mean, reduce_mode
from segclr.data.volume import ArraySource, Volume
from segclr.errors import VolumeError
from segclr.geometry import BoundingBox

IDS = np.array([0, 1, 2**53 + 1, 2**53 + 2, 2**63 + 5, 2**64 - 1], dtype=np.uint64)
factors = st.tuples(*[st.integers(1, 3)] * 3)


def windows(array, factor):
    fx, fy, fz = factor
    for z, y, x in np.ndindex(array.shape[0] // fz, array.shape[1] // fy, array.shape[2] // fx):
        yield (z, y, x), array[z * fz : (z + 1) * fz, y * fy : (y + 1) * fy, x * fx : (x + 1) * fx].ravel()


def naive(array, factor, reduce):
    shape = tuple(s // f for s, f in zip(array.shape, factor[::-1], strict=True))
    result = np.zeros(shape, array.dtype)
    for place, values in windows(array, factor):
        result[place] = reduce([int(v) for v in values])
    return result


def mean_half_up(values):
    return (2 * sum(values) + len(values)) // (2 * len(values))


def smallest_mode(values):
    counts = Counter(values)
    return min(v for v, n in counts.items() if n == max(counts.values()))


@given(factors, st.integers(0, 2**32))
@settings(max_examples=40)
def test_both_reductions_equal_naive_loops(factor, seed):
    random = np.random.default_rng(seed)
    shape = tuple(f * int(n) for f, n in zip(factor[::-1], random.integers(1, 4, 3), strict=True))
    em = random.integers(0, 256, shape, dtype=np.uint8)
    labels = random.choice(IDS[: random.integers(1, 7)], shape)
    assert np.array_equal(reduce_mean(em, factor), naive(em, factor, mean_half_up))
    reduced = reduce_mode(labels, factor)
    assert reduced.dtype == np.uint64
    assert np.array_equal(reduced, naive(labels, factor, smallest_mode))


def test_windows_of_more_than_255_voxels_are_counted_rightly():
    labels = np.full((8, 8, 8), 2**63 + 5, np.uint64)
    labels[0, 0, :6] = 7
    assert reduce_mode(labels, (8, 8, 8)).item() == 2**63 + 5
    assert reduce_mean(np.full((8, 8, 8), 255, np.uint8), (8, 8, 8)).item() == 255


@pytest.mark.parametrize(("values", "mean"), [((0, 1), 1), ((254, 255), 255), ((1, 2), 2), ((3, 3), 3)])
def test_half_a_grey_value_rounds_up(values, mean):
    assert reduce_mean(np.array(values, np.uint8).reshape(1, 1, 2), (2, 1, 1)).item() == mean


@pytest.mark.parametrize("dtype", ["uint16", "int16", "int32", "float32"])
def test_the_mean_of_other_kinds_is_rounded_half_up_and_that_of_numbers_not_at_all(dtype):
    values = np.array([-3, -2, 30000, 30001] if dtype != "uint16" else [3, 4, 65535, 65534], dtype)
    got = reduce_mean(values.reshape(1, 1, 4), (2, 1, 1))
    assert got.dtype == dtype
    exact = values.astype(float).reshape(2, 2).mean(axis=1)
    assert np.array_equal(got.ravel(), (exact if dtype == "float32" else np.floor(exact + 0.5)).astype(dtype))


def test_ids_that_share_a_float64_stay_apart():
    labels = np.array([2**53, 2**53 + 1, 2**53 + 1], np.uint64).reshape(1, 1, 3)
    assert reduce_mode(labels, (3, 1, 1)).item() == 2**53 + 1


@given(st.tuples(*[st.integers(-7, 7)] * 3), factors)
@settings(max_examples=30)
def test_a_coarse_voxel_is_made_of_the_fine_voxels_it_covers(offset, factor):
    array = np.random.default_rng(1).integers(0, 256, (7, 8, 9), dtype=np.uint8)
    fine = ArraySource(array, (4.0, 4.0, 5.0), offset)
    coarse = Volume(Downsampled(fine, factor=factor, reduction="mean"))
    assert coarse.voxel_size_nm == tuple(s * f for s, f in zip((4.0, 4.0, 5.0), factor, strict=True))
    whole = coarse.read(coarse.bounds)
    for (z, y, x), value in np.ndenumerate(whole):
        start = tuple((a + b) * f for a, b, f in zip(coarse.bounds.start, (x, y, z), factor, strict=True))
        box = BoundingBox(start, tuple(a + f for a, f in zip(start, factor, strict=True)))
        assert box.intersect(fine.bounds) == box
        assert value == mean_half_up([int(v) for v in Volume(fine).read(box).ravel()])
    # one voxel more on any side would not lie wholly within the finer volume
    for axis in range(3):
        grown = list(coarse.bounds.start)
        grown[axis] -= 1
        assert grown[axis] * factor[axis] < fine.bounds.start[axis]
        assert (coarse.bounds.stop[axis] + 1) * factor[axis] > fine.bounds.stop[axis]


def test_reading_in_pieces_equals_reading_whole():
    labels = np.random.default_rng(2).choice(IDS, (12, 13, 14))
    volume = Volume(
        Downsampled(ArraySource(labels, (1, 1, 1), (3, 4, 5)), factor=(2, 3, 2), reduction="mode")
    )
    whole = volume.read(volume.bounds)
    for box in volume.bounds.blocks((2, 3, 1)):
        assert np.array_equal(volume.read(box), whole[box.slices_zyx(volume.bounds.start)])


def test_a_reduction_that_leaves_no_voxel_is_refused():
    fine = ArraySource(np.ones((20, 20, 11), np.uint64), (4.0, 4.0, 5.0))
    with pytest.raises(VolumeError, match=r"\(0, 0, 0\) to \(11, 20, 20\) .* by 20x20x20, not one whole"):
        Downsampled(fine, factor=(20, 20, 20), reduction="mode")
    straddling = ArraySource(np.ones((3, 3, 3), np.uint8), (4.0, 4.0, 5.0), (1, 0, 0))
    with pytest.raises(VolumeError, match="not one whole"):
        Downsampled(straddling, factor=(3, 3, 3), reduction="mean")


def test_a_reduction_that_is_not_known_is_refused():
    with pytest.raises(VolumeError, match=r"'mean' .* or 'mode' .*, got 'median'"):
        Downsampled(ArraySource(np.ones((4, 4, 4)), (4, 4, 4)), factor=(2, 2, 2), reduction="median")
