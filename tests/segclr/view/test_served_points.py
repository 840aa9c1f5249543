import json

import neuroglancer
import numpy as np
import pytest
from neuroglancer.write_annotations import AnnotationWriter

from segclr.view.points import NodePoints, colour_by_class, colour_by_components
from segclr.view.served_points import ALL_DRAWN, ServedPoints

IDS = np.array([2**53 + 1, 2**63 + 5, 2**64 - 1, 7], dtype=np.uint64)


def points(n, *, colouring=None, seed=0):
    random = np.random.default_rng(seed)
    classes = random.choice(["axon", "dendrite", "soma"], n).tolist()
    return NodePoints(
        segment_ids=IDS[random.integers(0, 3, n)],
        node_ids=np.arange(n, dtype=np.uint32),
        points_nm=(random.random((n, 3)) ** 2 * (9e5, 4e4, 1e3) - 500).astype(np.float32),
        colouring=colouring or colour_by_class(classes, title="class"),
    )


def decoded(content: bytes, served: ServedPoints):
    """Places and ids of what the client reads as several annotations, without the module's own records."""
    info = json.loads(served.content("info"))
    widths = {"float32": 4, "uint32": 4, "uint16": 2, "uint8": 1}
    stride = 12 + -(-sum(widths[p["type"]] for p in info["properties"]) // 4) * 4
    n = int(np.frombuffer(content, "<u8", 1)[0])
    assert len(content) == 8 + n * (stride + 8)
    rows = np.frombuffer(content, "u1", n * stride, 8).reshape(n, stride)
    places = np.ascontiguousarray(rows[:, :12]).view("<f4").reshape(n, 3)
    return places, np.frombuffer(content, "<u8", n, 8 + n * stride)


@pytest.mark.parametrize("kind", ["class", "pca"])
def test_the_bytes_are_those_of_neuroglancers_own_writer(tmp_path, kind):
    by_pca = colour_by_components(np.random.default_rng(1).normal(size=(9, 3)), shares=(0.5, 0.3, 0.2))
    given = points(9, colouring=by_pca if kind == "pca" else None)
    served = ServedPoints(given)
    nm = neuroglancer.CoordinateSpace(names=["x", "y", "z"], units="nm", scales=[1, 1, 1])
    specs = [neuroglancer.AnnotationPropertySpec(p.spec()) for p in given.properties]
    writer = AnnotationWriter(nm, "point", relationships=["segment"], properties=specs)
    for row in range(9):
        values = {p.name: p.values[row] for p in given.properties}
        writer.add_point(
            given.points_nm[row].tolist(), id=row, segment=[int(given.segment_ids[row])], **values
        )
    writer.write(tmp_path)
    info, theirs = json.loads(served.content("info")), json.loads((tmp_path / "info").read_text())
    assert info["dimensions"] == theirs["dimensions"]
    assert [p["id"] for p in info["properties"]] == [p["id"] for p in theirs["properties"]]
    for row in range(9):
        assert served.content(f"by_id/{row}") == (tmp_path / "by_id" / str(row)).read_bytes()
    for segment_id in np.unique(given.segment_ids):
        file = tmp_path / "rel_segment" / str(segment_id)
        assert served.content(f"segment/{segment_id}") == file.read_bytes()


@pytest.mark.parametrize("n", [1, 2000, ALL_DRAWN + 50_000])
def test_every_point_lies_in_one_cell_of_one_level_and_within_it(n):
    given = points(n)
    served = ServedPoints(given)
    info = json.loads(served.content("info"))
    first, found = np.array(info["lower_bound"]), []
    assert len(info["spatial"]) == 1 or n > ALL_DRAWN
    for level in info["spatial"]:
        cells, size, largest = level["grid_shape"][0], np.array(level["chunk_size"]), 0
        for cell in np.ndindex(cells, cells, cells):
            places, ids = decoded(served.content(f"{level['key']}/{'_'.join(map(str, cell))}"), served)
            if len(ids):
                assert np.array_equal(places, given.points_nm[ids])
                inside = (places - first) / size
                assert (inside > np.array(cell) - 1e-4).all()
                assert (inside < np.array(cell) + 1 + 1e-4).all()
                found.append(ids)
                largest = max(largest, len(ids))
        assert largest == level["limit"]
    assert np.array_equal(np.sort(np.concatenate(found)), np.arange(n))


def test_a_coarse_level_is_a_fair_share_of_every_place():
    given = points(ALL_DRAWN + 50_000)
    served = ServedPoints(given)
    _, ids = decoded(served.content("0/0_0_0"), served)
    near = given.points_nm[:, 0] < np.median(given.points_nm[:, 0])
    assert near[ids].mean() == pytest.approx(near.mean(), abs=0.03)


def test_points_at_one_place_end_in_a_last_level():
    given = points(ALL_DRAWN + 1)
    same = NodePoints(
        segment_ids=given.segment_ids,
        node_ids=given.node_ids,
        points_nm=np.full_like(given.points_nm, 5.0),
        colouring=given.colouring,
    )
    limits = [level["limit"] for level in json.loads(ServedPoints(same).content("info"))["spatial"]]
    assert sum(limits) == len(same)


@pytest.mark.parametrize(
    "path",
    ["", "0", "0/0_0", "0/1_0_0", "9/0_0_0", "0/-1_0_0", "by_id/9", "by_id/../info", "segment/x", "by_id/"],
)
def test_what_is_not_there_is_not_found(path):
    assert ServedPoints(points(9)).content(path) is None


def test_a_segment_without_points_has_none():
    served = ServedPoints(points(9))
    assert len(decoded(served.content("segment/7"), served)[1]) == 0
    assert served.content(f"segment/{2**64}") is None
