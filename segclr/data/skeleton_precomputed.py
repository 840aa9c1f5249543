"""Skeletons in Neuroglancer's precomputed format, unsharded or sharded.

Format: neuroglancer's ``src/datasource/precomputed/skeletons.md`` and ``sharded.md``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np
from cloudvolume.datasource.precomputed.sharding import ShardingSpecification
from numpy.typing import NDArray

from segclr.data.skeleton import Skeleton

__all__ = ["encode_skeleton", "info_bytes", "shard_bytes", "shard_names", "shards_of"]

_MINISHARD_BITS = 6
"""64 minishards keep a minishard's index below 1 MB up to some 40,000 x 64 skeletons a shard."""


def encode_skeleton(skeleton: Skeleton) -> bytes:
    """A skeleton in nm with its radii, little endian."""
    child = np.flatnonzero(skeleton.parents >= 0)
    edges = np.stack([skeleton.parents[child], child], axis=1)
    return b"".join(
        [
            np.array([len(skeleton), len(edges)], dtype="<u4").tobytes(),
            skeleton.points_nm.astype("<f4").tobytes(),
            edges.astype("<u4").tobytes(),
            skeleton.radii_nm.astype("<f4").tobytes(),
        ]
    )


def info_bytes(n_shards: int | None) -> bytes:
    """The info file: vertices in nm and one attribute, radius; ``None`` for one file a skeleton."""
    info: dict[str, object] = {
        "@type": "neuroglancer_skeletons",
        "transform": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0],
        "vertex_attributes": [{"id": "radius", "data_type": "float32", "num_components": 1}],
    }
    if n_shards is not None:
        info["sharding"] = _facts(n_shards)
    return (json.dumps(info, indent=1, sort_keys=True) + "\n").encode()


def _facts(n_shards: int) -> dict[str, str | int]:
    return {
        "@type": "neuroglancer_uint64_sharded_v1",
        "preshift_bits": 0,
        "hash": "murmurhash3_x86_128",
        "minishard_bits": _MINISHARD_BITS,
        "shard_bits": _shard_bits(n_shards),
        "minishard_index_encoding": "gzip",
        "data_encoding": "gzip",
    }


def _shard_bits(n_shards: int) -> int:
    return max(1, (n_shards - 1).bit_length())


def shard_names(n_shards: int) -> list[str]:
    """Names, without ``.shard``, of at least so many shard files: their number is a power of two."""
    bits = _shard_bits(n_shards)
    return [format(i, "x").zfill(-(-bits // 4)) for i in range(2**bits)]


def shards_of(segment_ids: NDArray[np.uint64], *, n_shards: int) -> NDArray[np.str_]:
    """Name of the shard file of each segment, [n]."""
    spec = ShardingSpecification.from_dict(_facts(n_shards))
    return np.array([spec.compute_shard_location(k).shard_number for k in segment_ids], dtype=str)


def shard_bytes(skeletons: Iterable[Skeleton], *, n_shards: int) -> bytes:
    """One shard file of all its skeletons; equal skeletons give equal bytes."""
    spec = ShardingSpecification.from_dict(_facts(n_shards))
    encoded = {s.segment_id: encode_skeleton(s) for s in sorted(skeletons, key=lambda s: s.segment_id)}
    return bytes(spec.synthesize_shard(encoded))
