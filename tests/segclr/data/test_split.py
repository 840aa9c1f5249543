import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segclr.data.split import hold_out_segments
from segclr.errors import DataError

many_ids = st.lists(st.integers(1, 2**64 - 1), min_size=2, max_size=40, unique=True)


@given(many_ids, st.floats(0.01, 0.99), st.integers(0, 9))
def test_the_share_is_held_out_and_both_sides_have_a_segment(ids, share, seed):
    chosen = hold_out_segments(np.array(ids, np.uint64), share=share, seed=seed)
    assert chosen.shape == (len(ids),)
    assert 1 <= chosen.sum() < len(ids)
    assert abs(chosen.sum() - share * len(ids)) <= 1


@given(many_ids, st.randoms())
def test_the_order_of_the_ids_does_not_matter(ids, random):
    shuffled = ids.copy()
    random.shuffle(shuffled)
    one, other = (np.array(i, np.uint64) for i in (ids, shuffled))
    chosen = [set(i[hold_out_segments(i, share=0.4, seed=3)].tolist()) for i in (one, other)]
    assert chosen[0] == chosen[1]


def test_the_seed_decides():
    ids = np.arange(2**63, 2**63 + 100, dtype=np.uint64)
    drawn = [hold_out_segments(ids, share=0.3, seed=s).tolist() for s in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


@given(st.lists(st.integers(1, 12), min_size=1, max_size=5), st.floats(0.1, 0.9))
def test_each_stratum_gives_its_share(sizes, share):
    if sum(sizes) < 2:
        return
    strata = np.array([f"class {c}" for c, n in enumerate(sizes) for _ in range(n)])
    ids = np.arange(2**64 - len(strata), 2**64 - 1, dtype=np.uint64)
    ids = np.r_[ids, np.uint64(2**64 - 1)]
    chosen = hold_out_segments(ids, share=share, seed=1, strata=strata)
    for c, n in enumerate(sizes):
        held = chosen[strata == f"class {c}"].sum()
        assert held == (0 if n == 1 else min(max(round(share * n), 1), n - 1))


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_segments_are_refused(n):
    with pytest.raises(DataError, match=f"{n} segments"):
        hold_out_segments(np.arange(n, dtype=np.uint64), share=0.3, seed=0)
