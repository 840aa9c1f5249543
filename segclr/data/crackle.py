"""Checks on a ``crackle`` chunk, whose decoder checks neither its length nor its labels.

The format (seung-lab/crackle, README.md and headers.py), little-endian: a header; bytes of each plane's
outlines, with a CRC-32C from version 1 on; labels; the Markov model, if any; the outlines; from version 1 on
a CRC-32C of the labels and one of each plane as decoded. Those of the planes are not compared: a flipped bit
in an outline is unseen.
"""

from __future__ import annotations

import struct

import google_crc32c
import numpy as np

__all__ = ["check_crackle"]

_HEADERS = {0: struct.Struct("<4sBH3IBI"), 1: struct.Struct("<4sBH3IBQB")}


def check_crackle(data: bytes, size_vx: tuple[int, ...]) -> None:
    """Refuse a chunk that is not as long as it says, or whose index or labels were altered.

    Args:
        data: the chunk.
        size_vx: (x, y, z, channels).

    Raises:
        ValueError: it is cut off, longer than it says, altered, of another size, or no crackle.
    """
    if len(data) < _HEADERS[1].size or data[:4] != b"crkl" or data[4] not in _HEADERS:
        msg = "it is cut off, or no crackle"
        raise ValueError(msg)
    version = data[4]
    _, _, form, *size, _, label_bytes = _HEADERS[version].unpack_from(data)[:8]
    if (*size, 1) != tuple(size_vx):
        msg = f"it holds {(*size, 1)} voxels (x, y, z, channel), {tuple(size_vx)} are needed"
        raise ValueError(msg)
    order = form >> 9 & 0xF
    model_bytes = 4**order * 5 // 8 if order else 0
    begin = _HEADERS[version].size
    labels = begin + 4 * (size[2] + version)
    outlines = np.frombuffer(data.ljust(labels, b"\0"), dtype="<u4", count=size[2], offset=begin)
    sums = labels + label_bytes + model_bytes + int(outlines.sum(dtype=np.uint64))
    if len(data) != sums + 4 * (size[2] + 1) * version:
        msg = "it is cut off, or longer than its header says"
        raise ValueError(msg)
    if version == 0:
        return
    for what, start, stop, stored in (
        ("index", begin, labels - 4, labels - 4),
        ("labels", labels, labels + label_bytes, sums),
    ):
        if google_crc32c.value(data[start:stop]) != int.from_bytes(data[stored : stored + 4], "little"):
            msg = f"the CRC-32C of its {what} does not fit"
            raise ValueError(msg)
