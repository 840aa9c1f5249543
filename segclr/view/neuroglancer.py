"""The state of a Neuroglancer viewer as a plain dict: layers, place and colours of one run.

Segment ids are strings, since JSON's numbers lose them. Volumes and skeletons know their nanometres; places
in the state itself are in voxels of ``dimensions``, which here are the run's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segclr.geometry import VoxelSize
from segclr.view.points import NodePoints
from segclr.view.served_points import ALL_DRAWN

__all__ = ["INLINE_LIMIT", "Scene", "inline_points", "viewer_state"]

INLINE_LIMIT = 5_000
"""Most points in a state's own text: about 1 MB, beyond which deployments and links become slow."""

_SECTION_PIXELS = 400
_BACKGROUND = "#c8c8c8"
_SPACING_PX = 3
"""Of more points, one a square of so many pixels is drawn: some 25,000 a panel, which all machines can."""

_SKELETON_SHADER = """#uicontrol float grey slider(min=0.0, max=1.0, default=0.6)
void main() {
  emitRGB(mix(segmentColor().rgb, vec3(0.35), grey));
}
"""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What is looked at.

    Attributes:
        title: of the page.
        voxel_size_nm: of the run, (x, y, z).
        center_nm: place that the sections cut, (x, y, z).
        width_nm: of what a section shows.
        extent_nm: of what the 3-D view shows.
        em: source of the EM; None: there is none.
        segmentation: source of the segmentation.
        skeletons: source of the skeletons; None: there is none.
        segment_ids: uint64 [k], segments that are selected.
        points: the nodes.
        points_source: where the client finds them: a URL, or what ``inline_points`` makes.
        grey_range: stored EM values (low, high) that are black and white; None: of the data type.
    """

    title: str
    voxel_size_nm: VoxelSize
    center_nm: tuple[float, float, float]
    width_nm: float
    extent_nm: float
    em: str | None
    segmentation: str
    skeletons: str | None
    segment_ids: NDArray[np.uint64]
    points: NodePoints
    points_source: str | dict[str, Any]
    grey_range: tuple[float, float] | None = None


def viewer_state(scene: Scene) -> dict[str, Any]:
    """The state, ready for ``json.dumps``: any Neuroglancer takes it that can read the sources."""
    size = scene.voxel_size_nm
    canonical_nm = min(size)  # the client's unit of scale, "canonical voxels"
    points = _points_layer(scene)
    return {
        "title": scene.title,
        "dimensions": {axis: [s * 1e-9, "m"] for axis, s in zip("xyz", size, strict=True)},
        "position": [c / s for c, s in zip(scene.center_nm, size, strict=True)],
        "crossSectionScale": scene.width_nm / _SECTION_PIXELS / canonical_nm,
        "projectionScale": scene.extent_nm / canonical_nm,
        "layers": [*_em_layers(scene), _segmentation_layer(scene), points],
        "showSlices": False,
        "projectionBackgroundColor": _BACKGROUND,
        "crossSectionBackgroundColor": _BACKGROUND,
        "selectedLayer": {"layer": points["name"], "visible": True},
        "layout": "4panel",
    }


def inline_points(points: NodePoints) -> dict[str, Any]:
    """A layer's keys that hold the points themselves, for a state that stands alone."""
    columns = [p.values.tolist() for p in points.properties]
    places_nm = points.points_nm.astype(np.float64).round(1).tolist()
    annotations = [
        {
            "type": "point",
            "id": str(row),
            "point": place,
            "props": [column[row] for column in columns],
            "segments": [[str(segment)]],
        }
        for row, (place, segment) in enumerate(zip(places_nm, points.segment_ids.tolist(), strict=True))
    ]
    nm = {axis: [1e-9, "m"] for axis in "xyz"}
    return {
        "source": {"url": "local://annotations", "transform": {"outputDimensions": nm}},
        "annotationProperties": [p.spec() for p in points.properties],
        "annotationRelationships": ["segment"],
        "annotations": annotations,
    }


def _em_layers(scene: Scene) -> list[dict[str, Any]]:
    if scene.em is None:
        return []
    layer: dict[str, Any] = {"type": "image", "name": "EM", "source": scene.em}
    if scene.grey_range is not None:
        layer["shaderControls"] = {"normalized": {"range": list(scene.grey_range)}}
    return [layer]


def _segmentation_layer(scene: Scene) -> dict[str, Any]:
    sources: Sequence[str] = [s for s in (scene.segmentation, scene.skeletons) if s is not None]
    return {
        "type": "segmentation",
        "name": "segmentation",
        "source": list(sources),
        "segments": [str(i) for i in scene.segment_ids.tolist()],
        "selectedAlpha": 0.3,
        "notSelectedAlpha": 0.08,
        "skeletonRendering": {
            "mode2d": "lines",
            "mode3d": "lines",
            "lineWidth3d": 3,
            "shader": _SKELETON_SHADER,
        },
    }


def _points_layer(scene: Scene) -> dict[str, Any]:
    source = scene.points_source
    spacing_px = 1 if len(scene.points) <= ALL_DRAWN else _SPACING_PX
    return {
        "type": "annotation",
        "name": f"nodes by {scene.points.colouring.title}",
        **({"source": source} if isinstance(source, str) else source),
        "shader": scene.points.colouring.shader,
        "crossSectionAnnotationSpacing": spacing_px,
        "projectionAnnotationSpacing": spacing_px,
        "linkedSegmentationLayer": {"segment": "segmentation"},
    }
