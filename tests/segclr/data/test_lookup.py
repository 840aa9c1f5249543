import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from segclr.data.lookup import values_at
from segclr.data.volume import ArraySource, Volume

SIZE, OFFSET = (4.0, 6.0, 10.0), (-3, 8, 5)
ARRAY = np.random.default_rng(0).integers(2**53, 2**64 - 1, (6, 7, 8), dtype=np.uint64)
VOLUME = Volume(ArraySource(ARRAY, SIZE, OFFSET))


@given(st.lists(st.tuples(*[st.floats(-60, 160)] * 3), max_size=12), st.tuples(*[st.integers(1, 9)] * 3))
def test_each_point_gets_the_value_of_its_voxel_and_zero_beyond(points, block):
    expected = []
    for point in points:
        place = [int(np.floor(p / s)) - o for p, s, o in zip(point, SIZE, OFFSET, strict=True)][::-1]
        inside = all(0 <= p < n for p, n in zip(place, ARRAY.shape, strict=True))
        expected.append(int(ARRAY[tuple(place)]) if inside else 0)
    got = values_at(VOLUME, np.array(points).reshape(-1, 3), block_vx=block)
    assert got.dtype == np.uint64
    assert [int(v) for v in got] == expected


def test_points_far_away_read_as_zero_without_reading_the_space_between():
    assert values_at(VOLUME, [[1e9, 0, 0], [-1e9, 0, 0]]).tolist() == [0, 0]
