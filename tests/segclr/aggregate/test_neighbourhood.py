import numpy as np
import pytest

from segclr.aggregate import euclidean_neighbours, path_neighbours


def blocks_of(find, first, second, **settings):
    found = list(find(first, second, **settings))
    assert [b.rows.start for b in found[1:]] == [b.rows.stop for b in found[:-1]]
    return found


def random_tree(n):
    rng = np.random.default_rng(4)
    parents = np.array([-1] + [rng.integers(max(0, i - 8), i) for i in range(1, n)])
    return rng.uniform(0, 4000, (n, 3)), parents


@pytest.mark.parametrize("find", [euclidean_neighbours, path_neighbours])
def test_small_blocks_equal_one_large_block(find):
    points, parents = random_tree(700)
    second = parents if find is path_neighbours else np.arange(700) % 3
    whole = blocks_of(find, points, second, radius_nm=2500.0, max_pairs=10**9)
    small = blocks_of(find, points, second, radius_nm=2500.0, max_pairs=100)
    assert len(whole) == 1
    assert len(small) > 10
    stacked = np.vstack([b.matrix.toarray() for b in small])
    np.testing.assert_array_equal(stacked, whole[0].matrix.toarray())


@pytest.mark.parametrize("find", [euclidean_neighbours, path_neighbours])
def test_blocks_keep_to_the_bound_on_pairs(find):
    points, parents = random_tree(700)
    second = parents if find is path_neighbours else np.zeros(700, dtype=int)
    for block in find(points, second, radius_nm=2500.0, max_pairs=2000):
        assert block.matrix.nnz <= 2000
        assert block.matrix.has_sorted_indices


@pytest.mark.parametrize("find", [euclidean_neighbours, path_neighbours])
def test_one_node_with_more_neighbours_than_the_bound_is_still_answered(find):
    points, parents = random_tree(60)
    second = parents if find is path_neighbours else np.zeros(60, dtype=int)
    counts = [b.matrix.nnz for b in find(points, second, radius_nm=1e9, max_pairs=5)]
    assert counts == [60] * 60


def test_the_matrix_is_boolean_and_holds_its_diagonal():
    points, parents = random_tree(50)
    (block,) = path_neighbours(points, parents, radius_nm=0.0)
    assert block.matrix.dtype == bool
    np.testing.assert_array_equal(block.matrix.toarray(), np.eye(50, dtype=bool))


def test_the_straight_line_is_never_longer_than_the_path():
    points, parents = random_tree(200)
    (near,) = euclidean_neighbours(points, np.zeros(200, dtype=int), radius_nm=1500.0)
    (along,) = path_neighbours(points, parents, radius_nm=1500.0)
    assert not (along.matrix.toarray() & ~near.matrix.toarray()).any()


def test_no_nodes_give_no_blocks():
    assert list(euclidean_neighbours(np.zeros((0, 3)), np.zeros(0, dtype=int), radius_nm=1.0)) == []
    assert list(path_neighbours(np.zeros((0, 3)), np.zeros(0, dtype=int), radius_nm=1.0)) == []
