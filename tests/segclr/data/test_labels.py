import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segclr.data.labels import label_type, relabel

IDS = [0, 1, 2**53 + 1, 2**53 + 2, 2**63 + 5, 2**64 - 1]


@given(
    arrays(np.uint64, st.tuples(*[st.integers(0, 5)] * 3), elements=st.sampled_from(IDS)),
    st.sets(st.sampled_from(IDS[1:])),
)
@settings(max_examples=60)
def test_wanted_segments_are_numbered_and_all_others_are_background(ids, wanted):
    ascending = np.array(sorted(wanted), dtype=np.uint64)
    naive = np.zeros(ids.shape, dtype=np.int64)
    for number, segment_id in enumerate(ascending, start=1):
        naive[ids == segment_id] = number
    assert np.array_equal(relabel(ids, ascending), naive)


def test_labels_take_the_smallest_type_that_holds_them():
    assert [label_type(n) for n in (0, 255, 256, 65_535, 65_536)] == [
        np.uint8,
        np.uint8,
        np.uint16,
        np.uint16,
        np.uint32,
    ]


def test_ids_of_other_types_and_byte_orders_are_numbered_alike():
    wanted = np.array([3, 7], dtype=np.uint64)
    for kind in ("u1", "<u4", ">u4", ">u8"):
        assert relabel(np.array([7, 3, 3, 9, 0], dtype=kind), wanted).tolist() == [2, 1, 1, 0, 0]
