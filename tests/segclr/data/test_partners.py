import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from segclr.data.partners import PartnerIndex
from segclr.data.tree import TICKS_PER_NM, Forest
from tests.segclr.data.test_tree import forests


def check(forest, edges):
    """Every count and every pick, against the table of all distances."""
    n, index = len(forest), PartnerIndex(forest)
    every = forest.distances(np.repeat(np.arange(n), n), np.tile(np.arange(n), n)).reshape(n, n)
    counts = index.count(np.arange(n), edges)
    for i, (low, high) in enumerate(itertools.pairwise(edges)):
        within = (every >= low) & (every < high)
        within[np.arange(n), np.arange(n)] = False
        assert counts[:, i].tolist() == within.sum(axis=1).tolist()
        places, nth = np.nonzero(np.arange(n) < counts[:, [i]])
        picked = index.pick(places, np.full(len(places), low), np.full(len(places), high), nth)
        for place in range(n):
            assert sorted(picked[places == place].tolist()) == np.flatnonzero(within[place]).tolist()


@given(forests(), st.lists(st.integers(0, 20_000), min_size=2, max_size=5, unique=True))
@settings(max_examples=60)
def test_counts_and_picks_are_those_of_the_table_of_all_distances(made, edges):
    check(Forest.of(*made), np.sort(edges) * TICKS_PER_NM)


def test_vertices_at_one_place_are_partners_of_each_other_but_not_of_themselves():
    parents = np.array([-1, 0, 0, 1, 1, -1, 5])
    check(Forest.of(np.zeros((7, 3)), parents), np.array([0, 1, 5]))


def test_chains_stars_and_bushy_trees_of_hundreds():
    random = np.random.default_rng(0)
    n = 150
    shapes = [
        np.arange(-1, n - 1),
        np.r_[-1, np.zeros(n - 1, int)],
        np.r_[-1, (np.arange(1, n) - 1) // 2],
        np.r_[-1, [random.integers(max(0, i - 4), i) for i in range(1, n)]],
    ]
    for parents in shapes:
        forest = Forest.of(random.integers(0, 4, (n, 3)) * 500.0, parents)
        check(forest, np.array([0, 400, 2000, 9000]) * TICKS_PER_NM)
