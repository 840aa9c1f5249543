import json

import neuroglancer
import numpy as np

from segclr.view.neuroglancer import Scene, inline_points, viewer_state
from segclr.view.points import NodePoints, colour_by_class

IDS = np.array([2**53 + 1, 2**64 - 1], dtype=np.uint64)
POINTS = NodePoints(
    segment_ids=IDS,
    node_ids=np.array([4, 0], dtype=np.uint32),
    points_nm=np.array([[320.0, 96.5, 400.0], [-3.25, 0.0, 8e6]], np.float32),
    colouring=colour_by_class(["axon", "so\nma"], title="class"),
)


def scene(**changes):
    given = {
        "title": "t",
        "voxel_size_nm": (32.0, 16.0, 40.0),
        "center_nm": (320.0, 96.0, 400.0),
        "width_nm": 6400.0,
        "extent_nm": 16000.0,
        "em": "precomputed://gs://bucket/em",
        "segmentation": "precomputed://gs://bucket/seg",
        "skeletons": "precomputed://gs://bucket/skeletons",
        "segment_ids": IDS,
        "points": POINTS,
        "points_source": inline_points(POINTS),
    }
    return Scene(**(given | changes))


def layers(state):
    return {layer["type"]: layer for layer in state["layers"]}


def test_a_state_is_what_neuroglancer_takes_it_for():
    state = json.loads(json.dumps(viewer_state(scene(grey_range=(100.0, 900.0)))))
    understood = neuroglancer.ViewerState(state)
    assert understood.layers["segmentation"].segments == set(IDS.tolist())
    assert understood.dimensions.scales.tolist() == [32e-9, 16e-9, 40e-9]
    assert understood.layers["EM"].shader_controls["normalized"].range.tolist() == [100, 900]
    read = understood.layers["nodes by class"].annotations
    assert [a.segments[0][0] for a in read] == IDS.tolist()
    assert np.allclose([a.point for a in read], POINTS.points_nm, atol=0.05)
    assert [(a.props[0], a.props[1]) for a in read] == [(4, 0), (0, 1)]
    assert [p.id for p in understood.layers["nodes by class"].annotation_properties] == ["node_id", "class"]


def test_no_segment_id_is_a_number():
    state = viewer_state(scene())
    assert layers(state)["segmentation"]["segments"] == ["9007199254740993", "18446744073709551615"]
    segments = [a["segments"] for a in layers(state)["annotation"]["annotations"]]
    assert segments == [[["9007199254740993"]], [["18446744073709551615"]]]


def test_places_are_in_voxels_and_scales_in_the_smallest_of_them():
    state = viewer_state(scene())
    assert state["position"] == [10.0, 6.0, 10.0]
    assert state["crossSectionScale"] == 6400 / 400 / 16
    assert state["projectionScale"] == 16000 / 16


def test_a_layer_that_is_not_there_is_left_out():
    state = viewer_state(scene(em=None, skeletons=None, points_source="precomputed://http://127.0.0.1/nodes"))
    assert [layer["type"] for layer in state["layers"]] == ["segmentation", "annotation"]
    assert layers(state)["segmentation"]["source"] == ["precomputed://gs://bucket/seg"]
    assert "annotations" not in layers(state)["annotation"]
