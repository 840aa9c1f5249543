import crackle
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segclr.data.crackle import check_crackle

FORMS = ({}, {"allow_pins": True}, {"markov_model_order": 3})


def labels(size, n_ids, seed):
    random = np.random.default_rng(seed)
    ids = random.integers(0, 2**64, n_ids, dtype=np.uint64)
    array = random.choice(ids, [-(-s // 3) for s in size]).repeat(3, 0).repeat(3, 1).repeat(3, 2)
    return np.asfortranarray(array[tuple(slice(s) for s in size)])


chunks = st.fixed_dictionaries(
    {
        "size": st.tuples(*[st.integers(1, 24)] * 3),
        "n_ids": st.sampled_from([1, 2, 5, 300]),
        "seed": st.integers(0, 999),
    }
)


@given(chunks, st.sampled_from(FORMS))
def test_whole_chunks_of_every_form_are_taken(made, form):
    check_crackle(crackle.compress(labels(**made), **form), (*made["size"], 1))


@given(chunks, st.integers(1, 10**6))
def test_a_chunk_that_is_cut_off_or_too_long_is_refused(made, cut):
    data = crackle.compress(labels(**made))
    for damaged in (data[: -(1 + cut % len(data))], data + bytes(1 + cut % 64)):
        with pytest.raises(ValueError, match="cut off"):
            check_crackle(damaged, (*made["size"], 1))


@pytest.mark.parametrize("n_ids", [1, 5])
def test_every_flipped_bit_of_header_index_and_labels_is_refused_or_harmless(n_ids):
    array = labels((16, 5, 6), n_ids, 0)
    data = crackle.compress(array)
    lengths = crackle.codec.component_lengths(data)
    for place in range(8 * (lengths["header"] + lengths["z_index"] + lengths["labels"])):
        damaged = bytearray(data)
        damaged[place // 8] ^= 1 << place % 8
        try:
            check_crackle(bytes(damaged), (16, 5, 6, 1))
            got = crackle.decompress(bytes(damaged), parallel=1)
        except (ValueError, crackle.FormatError, RuntimeError):
            continue
        assert np.array_equal(got, array), place


def test_the_length_of_a_chunk_of_the_first_version_is_checked():
    size, outlines, ids = (2, 2, 1), b"\x01\x02\x03", bytes(9)
    header = b"crkl" + bytes([0, 0, 0]) + np.array(size, "<u4").tobytes() + bytes([4])
    data = header + np.array([len(ids), len(outlines)], "<u4").tobytes() + ids + outlines
    check_crackle(data, (*size, 1))
    for damaged in (data[:-1], data + b"\0"):
        with pytest.raises(ValueError, match="cut off"):
            check_crackle(damaged, (*size, 1))
