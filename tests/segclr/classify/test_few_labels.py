"""Few labels are a fair draw with every class in it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segclr.classify import draw_labelled
from segclr.errors import LabelError

CLASSES = np.array(["axon"] * 900 + ["dendrite"] * 95 + ["soma"] * 5)


def test_every_class_is_there_and_no_row_twice():
    for seed in range(20):
        rows = draw_labelled(CLASSES, n=10, seed=seed)
        assert len(np.unique(rows)) == 10
        assert (np.diff(rows) > 0).all()
        assert set(CLASSES[rows]) == {"axon", "dendrite", "soma"}


def test_larger_draws_hold_smaller_ones_and_the_largest_is_all():
    few, more = (draw_labelled(CLASSES, n=n, seed=4) for n in (30, 300))
    assert set(few) < set(more)
    assert draw_labelled(CLASSES, n=5000, seed=4).tolist() == list(range(1000))


def test_beyond_the_first_of_each_class_rows_are_drawn_alike():
    counts = np.zeros(len(CLASSES))
    for seed in range(400):
        counts[draw_labelled(CLASSES, n=100, seed=seed)] += 1
    axons = counts[:900]
    wanted = 400 * (1 + 97 * 899 / 997) / 900
    assert abs(axons.mean() - wanted) < 4 * np.sqrt(wanted / 900)
    assert axons.min() > 0
    assert len({tuple(draw_labelled(CLASSES, n=10, seed=s)) for s in range(20)}) == 20


def test_fewer_labels_than_classes_are_refused():
    with pytest.raises(LabelError, match="2 labels cannot show 3 classes"):
        draw_labelled(CLASSES, n=2, seed=0)


@settings(max_examples=100)
@given(
    rows=st.lists(st.tuples(st.integers(0, 6), st.sampled_from("abc")), min_size=1, max_size=50),
    seed=st.integers(0, 99),
)
def test_over_cells_every_draw_has_every_class_holds_the_smaller_ones_and_uses_cells_evenly(rows, seed):
    groups, classes = (np.array(side) for side in zip(*rows, strict=True))
    names = np.unique(classes)
    before: set[int] = set()
    for n in range(len(names), len(rows) + 1):
        drawn = draw_labelled(classes, n=n, seed=seed, groups=groups)
        assert before < set(drawn.tolist())
        before = set(drawn.tolist())
        assert set(classes[drawn]) == set(names)
        if n >= 2 * len(names):
            for name in names:
                on = len(np.unique(groups[classes == name]))
                assert len(np.unique(groups[drawn][classes[drawn] == name])) >= min(2, on)
        left = np.delete(groups, drawn)
        used = {cell: int((groups[drawn] == cell).sum()) for cell in np.unique(groups).tolist()}
        waiting = [used[cell] for cell in np.unique(left).tolist()]
        # the rows that lead, at most two a class, come on top of the rounds
        assert not waiting or max(used.values()) - min(waiting) <= 1 + 2 * len(names)


def test_over_cells_a_large_cell_does_not_fill_the_draw():
    groups = np.repeat(np.arange(21), [2000] + [10] * 20)
    classes = np.where(np.arange(len(groups)) % 2 == 0, "axon", "dendrite")
    drawn = draw_labelled(classes, n=42, seed=0, groups=groups)
    assert np.bincount(groups[drawn], minlength=21).max() <= 4
    assert (groups[draw_labelled(classes, n=42, seed=0)] == 0).mean() > 0.7


def test_groups_of_another_length_are_refused():
    with pytest.raises(LabelError, match="groups must name the cell of each of 1000 rows, got 2"):
        draw_labelled(CLASSES, n=10, seed=0, groups=[1, 2])
