"""Checks on a ``compressed_segmentation`` chunk, which carries neither checksum nor the width of its ids.

The format (neuroglancer, src/sliceview/compressed_segmentation/README.md), in words of 32 bits: where each
channel begins; per channel two words a block: offset of its table of ids (24 bits), bits an encoded value
(8 bits), offset of its encoded values; then values and tables, in any order. An id takes one or two words.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segclr.geometry import Triple

__all__ = ["check_compressed_segmentation"]

_BITS = (0, 1, 2, 4, 8, 16, 32)


def check_compressed_segmentation(
    data: bytes, size_vx: tuple[int, ...], block_size_vx: Triple, dtype: np.dtype[Any]
) -> None:
    """Refuse a chunk that does not hold ids of this type, before it is decoded: the decoder checks nothing.

    Width: writers leave no room between tables and values. A chunk in which each table of n ids has room for
    exactly n ids of the other width was written with that; one with any other room passes.

    Args:
        data: the chunk.
        size_vx: (x, y, z, channels).
        block_size_vx: (x, y, z).
        dtype: uint32 or uint64.

    Raises:
        ValueError: it points beyond its end, or its ids have the other width.
    """
    words = np.frombuffer(data[: len(data) // 4 * 4], dtype="<u4")
    *size, n_channels = size_vx
    n_blocks = int(np.prod([-(-s // b) for s, b in zip(size, block_size_vx, strict=True)]))
    starts = words[:n_channels].astype(np.int64)
    if len(starts) < n_channels or (np.diff(starts) < 0).any() or (starts > len(words)).any():
        msg = "it is cut off, or no compressed_segmentation"
        raise ValueError(msg)
    for start, stop in zip(starts, [*starts[1:], len(words)], strict=True):
        _check_channel(words[start:stop], n_blocks, int(np.prod(block_size_vx)), dtype.itemsize // 4)


def _check_channel(words: NDArray[np.uint32], n_blocks: int, block_vx: int, id_words: int) -> None:
    headers = words[: 2 * n_blocks].astype(np.int64)
    if len(headers) < 2 * n_blocks:
        msg = "it is cut off, or no compressed_segmentation"
        raise ValueError(msg)
    tables, bits, values = headers[::2] & 0xFFFFFF, headers[::2] >> 24, headers[1::2]
    value_stops = values + -(-bits * block_vx // 32)
    if not np.isin(bits, _BITS).all() or (value_stops[bits > 0] > len(words)).any():
        msg = "it is cut off, or no compressed_segmentation"
        raise ValueError(msg)
    distinct, blocks = np.unique(tables, return_index=True)
    n_last = _n_ids(words[values[blocks[-1]] : value_stops[blocks[-1]]], int(bits[blocks[-1]]))
    if distinct[-1] + n_last * id_words > len(words):
        msg = f"it is cut off, or its ids are not of {id_words * 32} bits as the info file says"
        raise ValueError(msg)
    # room for a table: up to the next table, encoded values or the end
    marks = np.unique(np.concatenate([tables, values[bits > 0], [len(words)]]))
    rooms = marks[np.searchsorted(marks, distinct, side="right")] - distinct
    other = 3 - id_words
    if all(
        room == other * _n_ids(words[values[block] : value_stops[block]], int(bits[block]))
        for room, block in zip(rooms, blocks, strict=True)
    ):
        msg = f"its tables hold ids of {other * 32} bits, the info file says {id_words * 32}"
        raise ValueError(msg)


def _n_ids(encoded: NDArray[np.uint32], bits: int) -> int:
    """Ids in the table of a block: its values are their numbers, and each is used."""
    if bits == 0:
        return 1
    shifts = np.arange(0, 32, bits, dtype=np.uint32)
    mask = np.uint32((1 << bits) - 1)
    return int((encoded[:, None] >> shifts & mask).max()) + 1
