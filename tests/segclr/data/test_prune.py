"""End branches go where another path stands for them, and nothing else goes."""

import numpy as np
import pytest

from segclr.data.prune import covered_branches

STEP = 50.0
COVER = (1.5, 300.0)


def path(start, stop):
    n = round(float(np.linalg.norm(np.subtract(stop, start))) / STEP)
    return np.linspace(start, stop, n + 1)


def forest(*paths):
    """Paths with their fragment; those that begin at a place already there are joined to it."""
    points, edges, fragment = [], [], []
    for number, line in paths:
        before = None
        for place in line:
            at = [i for i, p in enumerate(points) if np.allclose(p, place)]
            if not at:
                points.append(place)
                fragment.append(number)
                at = [len(points) - 1]
            if before is not None:
                edges.append((before, at[0]))
            before = at[0]
    return np.array(points), np.array(edges), np.array(fragment)


def gone(points, edges, fragment, contacts, radius=100.0):
    seam = np.array([any(np.allclose(p, c) for c in contacts) for p in points])
    return covered_branches(points, np.full(len(points), radius), edges, fragment, seam=seam, cover=COVER)


AXIS = path((0, 0, 0), (4000, 0, 0))


def test_a_twig_to_a_contact_within_reach_of_the_path_goes():
    made = forest((0, AXIS), (0, path((2000, 0, 0), (2000, 300, 0))))
    cut = gone(*made, [(2000, 300, 0)])
    assert (made[0][cut][:, 1] > 0).all()
    assert cut.sum() == 6


def test_the_same_twig_without_a_contact_stays():
    assert not gone(*forest((0, AXIS), (0, path((2000, 0, 0), (2000, 300, 0)))), [(0, 0, 0)]).any()


@pytest.mark.parametrize(("length", "stays"), [(400, False), (500, True)])
def test_a_twig_goes_up_to_the_reach_of_scale_times_radius_and_const(length, stays):
    made = forest((0, AXIS), (0, path((2000, 0, 0), (2000, length, 0))))
    assert (not gone(*made, [(2000, length, 0)]).any()) == stays


def test_a_path_beside_another_blocks_is_cut_back_to_one():
    beside = path((2000, 200, 0), (3600, 200, 0))
    made = forest((0, AXIS), (0, path((2000, 0, 0), (2000, 200, 0))), (1, beside))
    cut = gone(*made, [(2000, 200, 0)])
    assert sorted(set(made[0][~cut][:, 1])) == [0.0]
    own = forest((0, AXIS), (0, path((2000, 0, 0), (2000, 200, 0))), (0, beside))
    assert not gone(*own, [(0, 0, 0)]).any()  # one block's own choice is kept


def test_a_lone_path_stays_whole():
    assert not gone(*forest((0, AXIS)), [(0, 0, 0), (4000, 0, 0)]).any()


def test_no_contact_means_nothing_is_looked_at():
    made = forest((0, AXIS), (1, path((2000, 0, 0), (2000, 100, 0))))
    assert not gone(*made, []).any()
