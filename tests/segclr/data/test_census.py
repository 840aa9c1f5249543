import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from segclr.data.census import Census, count_voxels
from segclr.errors import DataError

IDS = [0, 1, 7, 2**53 + 1, 2**63 + 5, 2**64 - 1]
LABELS = arrays(np.uint64, array_shapes(min_dims=3, max_dims=3, max_side=6), elements=st.sampled_from(IDS))


def as_dict(census):
    return dict(zip(census.segment_ids.tolist(), census.n_voxels.tolist(), strict=True))


@given(LABELS)
def test_each_segment_is_counted_and_background_is_not(labels):
    census = count_voxels(labels)
    expected = {i: labels.ravel().tolist().count(i) for i in sorted(set(labels.ravel().tolist()) - {0})}
    assert as_dict(census) == expected
    assert census.segment_ids.tolist() == list(expected)
    assert census.segment_ids.dtype == census.n_voxels.dtype == np.uint64


@given(LABELS, st.integers(0, 6))
def test_the_census_of_parts_sums_to_that_of_the_whole(labels, cut):
    parts = [count_voxels(labels[:cut]), count_voxels(labels[cut:])]
    assert as_dict(Census.total(parts)) == as_dict(count_voxels(labels))
    assert as_dict(Census.total(parts[::-1])) == as_dict(count_voxels(labels))


def test_a_census_survives_its_columns_and_no_part_gives_an_empty_one():
    census = count_voxels(np.array([[[2**64 - 1, 0, 3, 3]]], np.uint64))
    assert as_dict(Census.from_columns(census.columns())) == {3: 2, 2**64 - 1: 1}
    assert len(Census.total([])) == 0


@pytest.mark.parametrize("kind", [np.int64, np.float32])
def test_labels_of_another_kind_are_refused(kind):
    with pytest.raises(DataError, match="unsigned"):
        count_voxels(np.zeros((2, 2, 2), kind))
