import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segclr.data.skeleton_sources import open_skeletons
from segclr.data.skeleton_sources.source import Unit
from segclr.data.skeleton_sources.swc import parse_swc
from segclr.errors import MissingDataError, SkeletonError
from tests.segclr.data.skeleton_sources.forests import IDS, edges_of, forests, swc_text

NM = Unit.of(1.0)


def parsed(text, unit=NM):
    return parse_swc(text.encode(), IDS[2], unit=unit, name="a.swc")


@given(forests(), st.sampled_from(IDS), st.data())
def test_a_forest_round_trips_whatever_the_numbers_and_the_order_of_its_nodes(forest, segment_id, data):
    points, parents, radii = forest
    numbers = data.draw(
        st.lists(st.integers(0, 10**9), min_size=len(points), max_size=len(points), unique=True)
    )
    text = swc_text(points, parents, radii, numbers)
    made = parse_swc(text.encode(), segment_id, unit=NM, name="a.swc")
    assert made.segment_id == segment_id
    assert np.array_equal(made.points_nm, points)
    assert np.array_equal(made.radii_nm, radii)
    assert np.array_equal(made.parents, parents)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(forests(), st.sampled_from(IDS))
def test_a_file_is_found_by_its_id(tmp_path, forest, segment_id):
    points, parents, radii = forest
    (tmp_path / f"{segment_id}.swc").write_text(swc_text(points, parents, radii, range(len(points))))
    (made,) = open_skeletons(f"swc://{tmp_path}").read(np.array([segment_id], dtype=np.uint64)).skeletons
    assert (made.segment_id, edges_of(made.parents)) == (segment_id, edges_of(parents))


def test_ids_are_listed_exactly_and_absent_ones_are_named(tmp_path):
    for segment_id in IDS:
        (tmp_path / f"{segment_id}.swc").write_text("1 0 1 2 3 4 -1")
    (tmp_path / "README.txt").write_text("of another kind")
    source = open_skeletons(f"swc://{tmp_path}")
    ids = source.segment_ids()
    assert ids.dtype == np.uint64
    assert ids.tolist() == sorted(IDS)
    batch = source.read(np.array([2**64 - 1, 2**64 - 2, 7], dtype=np.uint64))
    assert [s.segment_id for s in batch.skeletons] == [2**64 - 1]
    assert batch.absent.tolist() == [2**64 - 2, 7]


def test_comments_blank_lines_and_several_roots_are_read():
    made = parsed("\ufeff# made by hand\r\n\r\n  9 1 0 0 0 5 -1 # soma\n4 3 1 0 0 0 9\n5 3 2 0 0 -1 -1\n")
    assert made.parents.tolist() == [-1, 0, -1]
    assert made.radii_nm[0] == 5
    assert np.isnan(made.radii_nm[1:]).all()  # not above 0: unknown


def test_units_scale_places_and_radii():
    text = "1 0 1 2 3 4 -1"
    assert parsed(text, Unit.of(1000.0)).points_nm.tolist() == [[1000, 2000, 3000]]
    voxels = parsed(text, Unit.of((32.0, 32.0, 40.0)))
    assert voxels.points_nm.tolist() == [[32, 64, 120]]
    assert voxels.radii_nm[0] == pytest.approx(4 * (32 * 32 * 40) ** (1 / 3))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 0 0 0 0 1 -1\n2 0 0 0", r"a\.swc, line 2: 4 columns; seven are needed"),
        ("1 0 0 0 0 1 -1 9", "line 1: 8 columns"),
        ("1 0 0 0 zero 1 -1", "line 1: .*zero"),
        ("1.5 0 0 0 0 1 -1", "line 1: .*whole numbers"),
        ("1 0 0 0 0 1 -2", "line 1: .*-1 marks a root"),
        ("1 0 0 0 0 1 -1\n\n1 0 0 0 0 1 -1", "line 3: node 1 stands in line 1 already"),
        ("# a\n1 0 0 0 0 1 7", "line 2: the parent 7 of node 1 is not in the file"),
        ("1 0 0 0 0 1 1", rf"segment {IDS[2]}: .*cycle through the edge from vertex 0 to 0"),
        (
            "1 0 0 0 0 1 -1\n2 0 0 0 0 1 3\n3 0 0 0 0 1 2",
            "cycle through the edge from vertex (1 to 2|2 to 1)",
        ),
        ("1 0 nan 0 0 1 -1", "no finite place"),
        ("1 0 inf 0 0 1 -1", "no finite place"),
        ("", r"a\.swc is empty"),
        ("# only\n\n# comments", "empty: it holds no node"),
    ],
)
def test_a_malformed_file_is_refused_with_its_line(text, message):
    with pytest.raises(SkeletonError, match=message):
        parsed(text)


def test_a_file_that_is_not_text_is_refused():
    with pytest.raises(SkeletonError, match="not text"):
        parse_swc(b"\xff\xfe\x00", 1, unit=NM, name="a.swc")


@pytest.mark.parametrize("name", ["neuron", "007", "0", str(2**64), "-5", "5.0", "٣"])
def test_a_file_that_is_not_named_by_an_id_is_refused(tmp_path, name):
    (tmp_path / f"{name}.swc").write_text("1 0 0 0 0 1 -1")
    with pytest.raises(SkeletonError, match="not named by a segment id"):
        open_skeletons(f"swc://{tmp_path}").segment_ids()


def test_an_absent_folder_is_missing_data(tmp_path):
    with pytest.raises(MissingDataError, match="no folder"):
        open_skeletons(f"swc://{tmp_path}/nothing")
