import compresso
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segclr.data.compresso import check_compresso

TYPES = ("uint8", "uint16", "uint32", "uint64")
FORMS = (
    {},
    {"random_access_z_index": False},
    {"steps": (8, 8, 1)},
    {"connectivity": 6, "random_access_z_index": False},
)


def chunk(size, dtype, *, n_ids, form, seed):
    random = np.random.default_rng(seed)
    ids = random.integers(0, np.iinfo(dtype).max, n_ids, dtype=dtype, endpoint=True)
    array = random.choice(ids, [-(-s // 3) for s in size]).repeat(3, 0).repeat(3, 1).repeat(3, 2)
    return compresso.compress(np.asfortranarray(array[tuple(slice(s) for s in size)]), **form)


chunks = st.fixed_dictionaries(
    {
        "size": st.tuples(*[st.integers(1, 24)] * 3),
        "dtype": st.sampled_from(TYPES),
        "n_ids": st.sampled_from([1, 2, 5, 300]),
        "form": st.sampled_from(FORMS),
        "seed": st.integers(0, 999),
    }
)


@given(chunks)
def test_whole_chunks_of_every_form_are_taken(made):
    check_compresso(chunk(**made), (*made["size"], 1))


@pytest.mark.parametrize("size", [(16, 8, 3), (128, 256, 1), (127, 129, 2), (512, 512, 40)])
def test_long_runs_and_every_width_of_the_index_are_taken(size):
    array = np.zeros(size, dtype=np.uint64, order="F")
    check_compresso(compresso.compress(array), (*size, 1))
    array[-1, -1, -1] = 2**64 - 1
    check_compresso(compresso.compress(array), (*size, 1))


@given(chunks, st.integers(1, 10**6))
def test_a_chunk_that_is_cut_off_or_too_long_is_refused(made, cut):
    data = chunk(**made)
    for damaged in (data[: -(1 + cut % len(data))], data + bytes(1 + cut % 64)):
        with pytest.raises(ValueError, match=r"cut off|longer"):
            check_compresso(damaged, (*made["size"], 1))


def test_zeros_and_another_size_are_refused():
    with pytest.raises(ValueError, match="no compresso"):
        check_compresso(bytes(100), (4, 4, 4, 1))
    data = compresso.compress(np.zeros((4, 8, 2), dtype=np.uint8, order="F"))
    with pytest.raises(ValueError, match=r"\(4, 8, 2, 1\) voxels.*\(8, 4, 2, 1\) are needed"):
        check_compresso(data, (8, 4, 2, 1))
