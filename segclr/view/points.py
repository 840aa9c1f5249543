"""Nodes as coloured points: what a viewer needs to draw them, and a legend that tells what it draws.

The colour-blind tell the colours apart: eight of Okabe and Ito, eight more by a white ring, and cividis for
numbers (Nunez et al. 2018, 10.1371/journal.pone.0199239). Neuroglancer turns a property into a colour by a
shader; what may be changed there is a control that it shows beside the layer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex
from numpy.typing import NDArray

from segclr.errors import DataError
from segclr.view.style import BASELINE, OKABE_ITO

__all__ = [
    "Colouring",
    "LegendEntry",
    "NodePoints",
    "PointProperty",
    "colour_by_class",
    "colour_by_components",
    "colour_by_number",
    "colour_by_segment",
]

N_COLOURS = 2 * len(OKABE_ITO)
"""Classes that have a look of their own; the rarest beyond them share one grey."""

_N_ANCHORS = 9
_SPREAD = 2.5
_TYPES = {"f4": "float32", "u1": "uint8", "u2": "uint16", "u4": "uint32"}


@dataclass(frozen=True)
class PointProperty:
    """A number of every point.

    Attributes:
        name: a lower-case identifier.
        values: float32, uint8, uint16 or uint32 [n].
        labels: what 0, 1, ... stand for, where they stand for something.
    """

    name: str
    values: NDArray[Any]
    labels: tuple[str, ...] = ()

    def spec(self) -> dict[str, object]:
        """As the client wants it described."""
        spec: dict[str, object] = {"id": self.name, "type": _TYPES[self.values.dtype.str[1:]]}
        if self.labels:
            spec |= {"enum_values": list(range(len(self.labels))), "enum_labels": list(self.labels)}
        return spec


@dataclass(frozen=True)
class LegendEntry:
    """One line of a legend.

    Attributes:
        colours: #rrggbb, one, or some from low to high.
        text: what they mean.
        ringed: whether the points have a white ring; the others have a black one.
    """

    colours: tuple[str, ...]
    text: str
    ringed: bool = False


@dataclass(frozen=True, kw_only=True)
class Colouring:
    """How points are coloured.

    Attributes:
        title: what the colours show.
        properties: that the shader reads.
        shader: in Neuroglancer's GLSL.
        legend: its meaning.
    """

    title: str
    properties: tuple[PointProperty, ...]
    shader: str
    legend: tuple[LegendEntry, ...]


@dataclass(frozen=True, kw_only=True)
class NodePoints:
    """Nodes to draw.

    Attributes:
        segment_ids: uint64 [n], n >= 1.
        node_ids: uint32 [n].
        points_nm: float32 [n, 3], (x, y, z).
        colouring: of these n points.

    Raises:
        DataError: there is none, lengths differ, or ids come in a type that cannot hold every uint64.
    """

    segment_ids: NDArray[np.uint64]
    node_ids: NDArray[np.uint32]
    points_nm: NDArray[np.float32]
    colouring: Colouring

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        n = len(self.segment_ids)
        lengths = {len(p.values) for p in self.properties} | {len(self.points_nm)}
        if not n or lengths != {n} or self.segment_ids.dtype != np.uint64:
            msg = (
                f"points need one or more rows of one length with ids uint64; got {n} ids "
                f"{self.segment_ids.dtype} and columns of {sorted(lengths)}"
            )
            raise DataError(msg)

    def __len__(self) -> int:
        """Number of points."""
        return len(self.segment_ids)

    @property
    def properties(self) -> tuple[PointProperty, ...]:
        """Those of the colouring and the node's id, the widest numbers first, as the formats want them."""
        named = (*self.colouring.properties, PointProperty("node_id", self.node_ids))
        return tuple(sorted(named, key=lambda p: -p.values.dtype.itemsize))


def colour_by_class(classes: Sequence[str], *, title: str, grey: Sequence[str] = ()) -> Colouring:
    """A colour for each class, in the order of their names; those in ``grey`` are grey.

    Args:
        classes: of each point, n of them.
        title: what is shown.
        grey: classes that say "none of these", such as "unknown".
    """
    names, index, counts = np.unique(np.asarray(classes, dtype=str), return_inverse=True, return_counts=True)
    coloured = [i for i, name in enumerate(names.tolist()) if name not in grey]
    beyond = set(sorted(coloured, key=lambda i: -counts[i])[N_COLOURS:])
    looks = dict(zip([i for i in coloured if i not in beyond], _looks(), strict=False))
    controls, choices, legend = [], [], []
    for i, (colour, ringed) in looks.items():
        control = f"c{i}_{_identifier(names[i])}"
        controls.append(f'#uicontrol vec3 {control} color(default="{colour}")')
        choices.append(f"if (k == {i}) {{ colour = {control}; {'ring = 1.0; ' if ringed else ''}}}")
        legend.append(LegendEntry((colour,), f"{_line(names[i])} ({counts[i]:,})", ringed))
    legend += [
        LegendEntry((BASELINE,), f"{_line(name)} ({count:,})")
        for name, count in zip(names.tolist(), counts.tolist(), strict=True)
        if name in grey
    ]
    if beyond:
        n_points = int(counts[list(beyond)].sum())
        legend.append(LegendEntry((BASELINE,), f"{len(beyond)} rarer ones ({n_points:,})"))
    labels = tuple(_line(name) for name in names.tolist())
    kind = np.uint8 if len(names) < 2**8 else np.uint16 if len(names) < 2**16 else np.uint32
    return Colouring(
        title=title,
        properties=(PointProperty("class", index.reshape(-1).astype(kind), labels),),
        shader=_shader(controls, ["int k = int(prop_class());", *choices]),
        legend=tuple(legend),
    )


def colour_by_segment(segment_ids: NDArray[np.uint64]) -> Colouring:
    """Sixteen looks by turns, in the order of the ids: neighbours in space may share one."""
    index = np.unique(segment_ids, return_inverse=True)[1].reshape(-1) % N_COLOURS
    choices = [
        f"if (k == {i}) {{ colour = {_glsl(colour)}; {'ring = 1.0; ' if ringed else ''}}}"
        for i, (colour, ringed) in enumerate(_looks())
    ]
    text = f"{len(np.unique(segment_ids)):,} segments, sixteen looks by turns"
    return Colouring(
        title="segment",
        properties=(PointProperty("look", index.astype(np.uint8)),),
        shader=_shader([], ["int k = int(prop_look());", *choices]),
        legend=(LegendEntry(OKABE_ITO, text),),
    )


def colour_by_number(values: NDArray[np.floating], *, name: str, title: str) -> Colouring:
    """From dark blue, low, to yellow, high, over the middle 98 % of the values.

    Raises:
        DataError: a value is not finite.
    """
    numbers = np.asarray(values, dtype=np.float32)
    low, high = _range(numbers, title)
    legend = LegendEntry(_cividis(), f"{title}: {low:.3g} to {high:.3g}")
    return Colouring(
        title=title,
        properties=(PointProperty(name, numbers),),
        shader=_numeric_shader(name, low, high),
        legend=(legend,),
    )


def colour_by_components(coordinates: NDArray[np.floating], *, shares: Sequence[float]) -> Colouring:
    """The first principal component; the others are chosen in the layer's controls.

    Args:
        coordinates: [n, k], in standard deviations of all nodes, of which these may be a few.
        shares: k, of the variance, 0 to 1.

    Raises:
        DataError: a coordinate is not finite.
    """
    values = np.asarray(coordinates, dtype=np.float64)
    if not np.isfinite(values).all():
        msg = f"{(~np.isfinite(values)).any(axis=1).sum()} of {len(values)} points have no finite component"
        raise DataError(msg)
    properties = tuple(
        PointProperty(f"pc{i + 1}", np.ascontiguousarray(values[:, i], dtype=np.float32))
        for i in range(values.shape[1])
    )
    told = ", ".join(f"pc{i + 1} {share:.0%}" for i, share in enumerate(shares))
    text = f"pc1, -{_SPREAD:g} to {_SPREAD:g} standard deviations (of the variance: {told})"
    return Colouring(
        title="principal component",
        properties=properties,
        shader=_numeric_shader("pc1", -_SPREAD, _SPREAD),
        legend=(LegendEntry(_cividis(), text),),
    )


def _looks() -> list[tuple[str, bool]]:
    """Colour, and whether there is a white ring, in the order they are given away."""
    return [(colour, ringed) for ringed in (False, True) for colour in OKABE_ITO]


def _line(text: str) -> str:
    """Text from data on one line, without what a terminal or a page would obey."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _identifier(text: str) -> str:
    """What of a name may stand in a shader."""
    return re.sub(r"_+", "_", re.sub(r"[^A-Za-z0-9]", "_", text))[:40].strip("_")


def _glsl(colour: str) -> str:
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return f"vec3({', '.join(f'{c:.4f}' for c in channels)})"


def _cividis() -> tuple[str, ...]:
    return tuple(to_hex(c) for c in colormaps["cividis"](np.linspace(0, 1, _N_ANCHORS)))


def _range(numbers: NDArray[np.float32], title: str) -> tuple[float, float]:
    if not np.isfinite(numbers).all():
        msg = f"{(~np.isfinite(numbers)).sum()} of {len(numbers)} points have no finite {title}"
        raise DataError(msg)
    low, high = (float(v) for v in np.quantile(numbers, (0.01, 0.99)))
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _numeric_shader(name: str, low: float, high: float) -> str:
    anchors = ", ".join(_glsl(c) for c in _cividis())
    last = _N_ANCHORS - 1
    body = [
        f"vec3 anchors[{_N_ANCHORS}] = vec3[]({anchors});",
        f"float t = clamp(value(), 0.0, 1.0) * {last}.0;",
        f"int k = min(int(t), {last - 1});",
        "colour = mix(anchors[k], anchors[k + 1], t - float(k));",
    ]
    return _shader([f'#uicontrol invlerp value(property="{name}", range=[{low:.6g}, {high:.6g}])'], body)


def _shader(controls: Sequence[str], body: Sequence[str]) -> str:
    lines = [
        "#uicontrol float size slider(min=1.0, max=30.0, default=8.0)",
        *controls,
        "void main() {",
        f"  vec3 colour = {_glsl(BASELINE)};",
        "  float ring = 0.0;",
        *(f"  {line}" for line in body),
        "  setPointMarkerSize(PROJECTION_VIEW ? 0.6 * size : size);",
        "  setPointMarkerBorderWidth(0.5 + ring * (PROJECTION_VIEW ? 0.5 : 1.5));",
        "  setPointMarkerColor(vec4(colour, 1.0));",
        "  setPointMarkerBorderColor(vec4(vec3(ring), 1.0));",
        "}",
    ]
    return "\n".join(lines) + "\n"
