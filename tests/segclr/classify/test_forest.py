import numpy as np
import pytest

from segclr.classify import Split, forest_baseline, split_by_segment
from segclr.errors import DataError, LabelError


def cells():
    rng = np.random.default_rng(0)
    ids = np.repeat(np.arange(20, dtype=np.uint64) + np.uint64(2**63), 6)
    classes = np.where(ids % np.uint64(2) == 0, "axon", "soma")
    return ids, classes, rng.standard_normal((len(ids), 10)), rng


def test_finds_what_is_there_and_not_what_is_not():
    ids, classes, noise, _ = cells()
    split = split_by_segment(ids, classes, test_share=0.4, seed=0)
    telling = noise + 4 * (classes == "soma")[:, None]
    assert forest_baseline(telling, classes, split, seed=0).macro_f1 == 1.0
    assert forest_baseline(noise, classes, split, seed=0).macro_f1 < 0.8


def test_the_same_seed_gives_the_same_answer():
    ids, classes, noise, _ = cells()
    split = split_by_segment(ids, classes, test_share=0.4, seed=0)
    one, two = (forest_baseline(noise, classes, split, seed=3).to_dict() for _ in range(2))
    assert one == two


def test_features_that_are_not_finite_are_refused():
    ids, classes, noise, _ = cells()
    split = split_by_segment(ids, classes, test_share=0.4, seed=0)
    noise[3, 3] = np.nan
    with pytest.raises(DataError, match="finite"):
        forest_baseline(noise, classes, split, seed=0)


def test_the_interval_is_over_the_cells_of_the_test_side():
    ids, classes, noise, _ = cells()
    split = split_by_segment(ids, classes, test_share=0.4, seed=0)
    got = forest_baseline(noise, classes, split, groups=ids, seed=0)
    assert got.n_cells == len(np.unique(ids[split.test]))
    assert got.macro_f1_interval[0] < got.macro_f1 < got.macro_f1_interval[1]


def test_a_cell_on_both_sides_is_refused():
    rows = np.arange(60)
    features, classes = np.random.default_rng(0).normal(size=(60, 3)), np.array(["a", "b"])[rows % 2]
    with pytest.raises(LabelError, match="both sides"):
        forest_baseline(features, classes, Split(train=rows, test=rows), groups=rows // 2, seed=0)
