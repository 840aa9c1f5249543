"""Checks on a ``compresso`` chunk, which carries no checksum, and whose decoder takes a cut-off one.

The format (seung-lab/compresso, README.md, "Compresso Stream Format"), little-endian: a header; ids; the
distinct windows; indeterminate locations; the windows themselves, an even number naming a distinct window and
an odd one a run of empty windows; in version 1 an index of two numbers a plane. The header tells the size of
all but the windows, and these must cover the chunk exactly: so the length of the whole is known.
"""

from __future__ import annotations

import struct

import numpy as np

__all__ = ["check_compresso"]

_HEADER = struct.Struct("<4sBB3H3BQIQB")
_WIDTHS = (1, 2, 4, 8)


def check_compresso(data: bytes, size_vx: tuple[int, ...]) -> None:
    """Refuse a chunk that is not exactly as long as its header says, before it is decoded.

    Args:
        data: the chunk.
        size_vx: (x, y, z, channels).

    Raises:
        ValueError: it is cut off, longer than it says, of another size, or no compresso.
    """
    if len(data) < _HEADER.size:
        msg = "it is cut off, or no compresso"
        raise ValueError(msg)
    magic, version, width, *rest = _HEADER.unpack_from(data)
    size, steps, (n_ids, n_values, n_locations, connectivity) = rest[:3], rest[3:6], rest[6:]
    window_vx = steps[0] * steps[1] * steps[2]
    known = magic == b"cpso" and version in (0, 1) and width in _WIDTHS and connectivity in (4, 6)
    if not known or not 0 < window_vx <= 64:
        msg = "it is no compresso, or its header is damaged"
        raise ValueError(msg)
    if (*size, 1) != tuple(size_vx):
        msg = f"it holds {(*size, 1)} voxels (x, y, z, channel), {tuple(size_vx)} are needed"
        raise ValueError(msg)
    window_bytes = next(w for w in _WIDTHS if 8 * w >= window_vx)
    index_bytes = next(w for w in _WIDTHS if 2 * size[0] * size[1] < 256**w)
    start = _HEADER.size + width * (n_ids + n_locations) + window_bytes * n_values
    stop = len(data) - (2 * index_bytes * size[2] if version == 1 else 0)
    if start > stop or (stop - start) % window_bytes:
        msg = "it is cut off, or longer than its header says"
        raise ValueError(msg)
    windows = np.frombuffer(data[start:stop], dtype=f"<u{window_bytes}")
    empty = (windows & 1).astype(bool)
    covered = int((windows[empty] >> 1).sum(dtype=np.uint64)) + int((~empty).sum())
    needed = int(np.prod([-(-s // step) for s, step in zip(size, steps, strict=True)]))
    # no run is of length 0, so that whatever is lost or added changes the number of windows
    if covered != needed or (windows == 1).any() or (windows[~empty] >> 1 >= n_values).any():
        msg = f"it is cut off, longer than it says or damaged: its windows cover {covered} of {needed}"
        raise ValueError(msg)
