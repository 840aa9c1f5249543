import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segclr.data.smooth import smooth
from tests.segclr.data.test_nodes import ends_of, skeleton, skeletons


def test_a_zigzag_gets_straight_and_its_length_that_of_the_straight_line():
    points = [[i * 40, (i % 2) * 40, 0] for i in range(101)]
    made = skeleton(points, range(-1, 100))
    assert made.cable_length_nm == pytest.approx(4000 * 2**0.5)
    assert smooth(made, window_nm=500).cable_length_nm == pytest.approx(4000, rel=0.01)


def test_a_straight_line_stays_whatever_the_places_of_its_vertices():
    random = np.random.default_rng(0)
    places = np.sort(random.uniform(0, 9000, 50))
    line = np.stack([places, places * 2, -places], axis=1)
    made = skeleton(line, np.arange(-1, 49))
    np.testing.assert_allclose(smooth(made, window_nm=700).points_nm, made.points_nm, atol=0.01)


@given(skeletons(trees=True), st.sampled_from([0.0, 150.0, 2000.0]))
@settings(max_examples=60)
def test_a_vertex_moves_to_the_mean_of_finely_sampled_places_and_ends_stay(made, window):
    smoothed = smooth(made, window_nm=window)
    ends = ends_of(made)
    assert np.array_equal(smoothed.points_nm[ends], made.points_nm[ends])
    points = made.points_nm.astype(float)
    for end in ends:
        chain = [int(end)]
        while made.parents[chain[-1]] >= 0 and (chain[-1] == end or chain[-1] not in ends):
            chain.append(int(made.parents[chain[-1]]))
        along = np.r_[0, np.cumsum(np.linalg.norm(np.diff(points[chain], axis=0), axis=1))]
        for vertex, at in list(zip(chain, along, strict=True))[1:-1]:
            half = min(window / 2, at, along[-1] - at)
            if half < 1:
                continue
            fine = at + half * (np.arange(20_001) / 10_000 - 1)
            mean = [np.interp(fine, along, points[chain, axis]).mean() for axis in range(3)]
            np.testing.assert_allclose(smoothed.points_nm[vertex], mean, atol=0.5)
