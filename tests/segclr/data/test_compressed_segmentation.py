import compressed_segmentation
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segclr.data.compressed_segmentation import check_compressed_segmentation

TYPES = (np.dtype("uint32"), np.dtype("uint64"))


def chunk(size, block, dtype, *, n_ids, seed):
    random = np.random.default_rng(seed)
    # ids are spread over the type's whole range, or small enough to fit either
    top = 2 ** (8 * dtype.itemsize) if seed % 2 else 2**31
    ids = random.integers(0, top, n_ids, dtype=np.uint64).astype(dtype)
    array = random.choice(ids, [-(-s // 3) for s in size]).repeat(3, 0).repeat(3, 1).repeat(3, 2)
    array = np.asfortranarray(array[tuple(slice(s) for s in size)])
    return compressed_segmentation.compress(array, block_size=block, order="F")


chunks = st.fixed_dictionaries(
    {
        "size": st.tuples(*[st.integers(1, 24)] * 3),
        "block": st.sampled_from([(8, 8, 8), (4, 8, 2), (16, 16, 16)]),
        "dtype": st.sampled_from(TYPES),
        "n_ids": st.sampled_from([1, 2, 3, 5, 17, 300]),
        "seed": st.integers(0, 999),
    }
)


@given(chunks)
def test_a_chunk_is_taken_for_its_own_ids_and_refused_for_those_of_the_other_width(made):
    data, own = chunk(**made), TYPES.index(made["dtype"])
    check_compressed_segmentation(data, (*made["size"], 1), made["block"], TYPES[own])
    with pytest.raises(ValueError, match=r"bits.* the info file says"):
        check_compressed_segmentation(data, (*made["size"], 1), made["block"], TYPES[1 - own])


@given(chunks, st.floats(0, 1, exclude_max=True))
def test_a_chunk_that_is_cut_off_is_refused(made, share):
    data = chunk(**made)
    # whatever is cut off lies in a table or in encoded values: there is nothing else at the end
    with pytest.raises(ValueError, match=r"cut off|bits"):
        check_compressed_segmentation(
            data[: int(len(data) * share)], (*made["size"], 1), made["block"], made["dtype"]
        )


def test_every_channel_is_checked():
    made = {"size": (8, 8, 8), "block": (4, 4, 4), "n_ids": 5}
    parts = [np.frombuffer(chunk(**made, dtype=t, seed=1), "<u4")[1:] for t in TYPES]
    for pair, taken in (((1, 1), True), ((1, 0), False), ((0, 1), False)):
        first, second = (parts[i] for i in pair)
        data = np.concatenate([np.array([2, 2 + len(first)], "<u4"), first, second]).tobytes()
        if taken:
            check_compressed_segmentation(data, (8, 8, 8, 2), (4, 4, 4), TYPES[1])
        else:
            with pytest.raises(ValueError, match="bits"):
                check_compressed_segmentation(data, (8, 8, 8, 2), (4, 4, 4), TYPES[1])


def test_room_that_no_writer_known_leaves_is_not_refused():
    # one block, one id of 32 bits, and three words of which nothing is said
    data = np.array([1, 2, 2, 7, 0, 0, 0], "<u4").tobytes()
    check_compressed_segmentation(data, (8, 8, 8, 1), (8, 8, 8), TYPES[0])
