import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segclr.classify import check_no_leak, split_by_segment, split_from_segments
from segclr.errors import ConfigError, LabelError


@st.composite
def labelled_rows(draw):
    """Rows of whole-cell classes: at least two segments of each, several rows in a segment."""
    per_class = draw(st.lists(st.integers(2, 9), min_size=2, max_size=5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    classes = np.repeat([f"class {i}" for i in range(len(per_class))], per_class)
    ids = np.uint64(2**63) + rng.permutation(1000)[: len(classes)].astype(np.uint64)
    rows = rng.permutation(np.repeat(np.arange(len(ids)), rng.integers(1, 6, len(ids))))
    return ids[rows], classes[rows]


@settings(max_examples=60)
@given(rows=labelled_rows(), share=st.sampled_from([0.2, 0.33, 0.5]), seed=st.integers(0, 99))
def test_every_row_stands_on_one_side_no_segment_on_two_and_every_class_on_both(rows, share, seed):
    ids, classes = rows
    split = split_by_segment(ids, classes, test_share=share, seed=seed)
    assert sorted([*split.train, *split.test]) == list(range(len(ids)))
    assert not set(ids[split.train]) & set(ids[split.test])
    assert set(classes[split.train]) == set(classes[split.test]) == set(classes)
    for name in np.unique(classes):
        n = len(np.unique(ids[classes == name]))
        n_test = len(np.unique(ids[split.test][classes[split.test] == name]))
        assert abs(n_test - share * n) <= 1


@settings(max_examples=20)
@given(rows=labelled_rows(), seed=st.integers(0, 99))
def test_the_order_of_rows_does_not_matter(rows, seed):
    ids, classes = rows
    order = np.random.default_rng(1).permutation(len(ids))
    one = split_by_segment(ids, classes, test_share=0.33, seed=seed)
    two = split_by_segment(ids[order], classes[order], test_share=0.33, seed=seed)
    assert set(ids[one.test]) == set(ids[order][two.test])


def test_another_seed_gives_another_split():
    ids = np.arange(40, dtype=np.uint64)
    classes = np.where(ids % np.uint64(2) == 0, "a", "b")
    tests = {tuple(split_by_segment(ids, classes, test_share=0.3, seed=s).test) for s in range(5)}
    assert len(tests) > 1


def test_segments_of_several_classes_are_balanced_too():
    rng = np.random.default_rng(0)
    ids = np.repeat(np.arange(60, dtype=np.uint64) + np.uint64(2**63), 30)
    classes = rng.choice(["axon", "dendrite", "soma"], len(ids), p=[0.6, 0.38, 0.02])
    split = split_by_segment(ids, classes, test_share=0.33, seed=0)
    for name in np.unique(classes):
        of_class = np.unique(ids[classes == name])
        share = np.isin(of_class, ids[split.test]).mean()
        assert 0.2 < share < 0.46


def test_a_class_of_one_segment_is_an_error():
    with pytest.raises(LabelError, match="class rare has one segment only"):
        split_by_segment(
            np.array([1, 2, 3, 3], dtype=np.uint64),
            np.array(["a", "a", "rare", "rare"]),
            test_share=0.5,
            seed=0,
        )


def test_one_class_only_is_an_error():
    with pytest.raises(LabelError, match="two classes"):
        split_by_segment(np.array([1, 2], dtype=np.uint64), np.array(["a", "a"]), test_share=0.5, seed=0)


def test_a_share_beyond_one_is_an_error():
    with pytest.raises(ConfigError, match="between 0 and 1"):
        split_by_segment(np.array([1, 2], dtype=np.uint64), np.array(["a", "b"]), test_share=1.0, seed=0)


def test_a_leak_is_an_error_that_names_the_segment():
    big = np.array([2**63 + 1, 2**63 + 2], dtype=np.uint64)
    with pytest.raises(LabelError, match=str(2**63 + 2)):
        check_no_leak(big, big[1:])
    with pytest.raises(LabelError, match="both sides"):
        split_from_segments(big, train_segments=big, test_segments=big[1:])


def test_given_segments_decide_the_sides():
    ids = np.array([5, 6, 5, 7], dtype=np.uint64)
    split = split_from_segments(ids, train_segments=ids[:1], test_segments=ids[1:2])
    assert split.train.tolist() == [0, 2]
    assert split.test.tolist() == [1]
    with pytest.raises(LabelError, match="0 to judge by"):
        split_from_segments(ids, train_segments=ids[:1], test_segments=np.array([99], dtype=np.uint64))


def test_ids_that_are_close_beyond_float_precision_stand_on_their_own_sides():
    base = 864691135591041291
    cells = [base + j * 10**9 + k for j in range(100) for k in (0, 1)]
    rows = np.repeat(np.array(cells, dtype=np.uint64), 10)
    split = split_from_segments(rows, train_segments=cells[::2], test_segments=cells[1::2])
    assert (len(split.train), len(split.test)) == (1000, 1000)
    assert not set(rows[split.train].tolist()) & set(rows[split.test].tolist())
    check_no_leak(np.array(cells[::2], dtype=np.uint64), cells[1::2])
    with pytest.raises(LabelError, match="int64"):
        check_no_leak(np.array(cells[::2], dtype=np.uint64), np.array(cells[1::2]))
    with pytest.raises(LabelError, match="both sides"):
        check_no_leak(["cell a", "cell b"], ["cell b"])
