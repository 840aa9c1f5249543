"""Few labels are a fair draw with every class in it."""

import numpy as np
import pytest

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
