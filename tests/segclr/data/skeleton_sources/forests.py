"""Random forests as skeletons, and naive writers of the formats that are read."""

import json

import numpy as np
from cloudvolume.datasource.precomputed.sharding import ShardingSpecification, synthesize_shard_files
from hypothesis import strategies as st
from osteoid import Skeleton as OsteoidSkeleton

IDS = [1, 2**53 + 1, 2**63 + 5, 2**64 - 1, 864691135591041291]
RADIUS = [{"id": "radius", "data_type": "float32", "num_components": 1}]


@st.composite
def forests(draw, max_size=20):
    """Points float32 [n, 3], parents [n] (vertices in any order) and radii [n]."""
    n = draw(st.integers(1, max_size))
    parents = [-1] + [draw(st.integers(-1, i - 1)) for i in range(1, n)]
    order = draw(st.permutations(range(n)))
    shuffled = np.full(n, -1, dtype=np.int32)
    for child, parent in enumerate(parents):
        shuffled[order[child]] = -1 if parent < 0 else order[parent]
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    points = random.uniform(-1e6, 1e6, (n, 3)).astype(np.float32)
    return points, shuffled, random.uniform(1, 500, n).astype(np.float32)


def edges_of(parents):
    return {frozenset((child, int(parent))) for child, parent in enumerate(parents) if parent >= 0}


def edge_array(parents):
    return np.array([sorted(e) for e in edges_of(parents)], dtype=np.uint32).reshape(-1, 2)


def swc_text(points, parents, radii, numbers):
    rows = zip(numbers, points, radii, parents, strict=True)
    lines = [
        f"{n} 0 {p[0]!r} {p[1]!r} {p[2]!r} {float(r)!r} {-1 if a < 0 else numbers[a]}"
        for n, p, r, a in ((n, [float(v) for v in p], r, a) for n, p, r, a in rows)
    ]
    return "\n".join(lines)


def encode(points, edges, radii=None):
    skeleton = OsteoidSkeleton(
        np.asarray(points, np.float32), np.asarray(edges, np.uint32).reshape(-1, 2), radii=radii
    )
    skeleton.extra_attributes = RADIUS if radii is not None else []
    return skeleton.to_precomputed()


def write_precomputed_skeletons(folder, entries, *, shard_bits=None, **info):
    """A skeleton folder; ``entries`` are encoded skeletons by id."""
    folder.mkdir(parents=True, exist_ok=True)
    info = {"@type": "neuroglancer_skeletons", "vertex_attributes": RADIUS} | info
    if shard_bits is None:
        for segment_id, content in entries.items():
            (folder / str(segment_id)).write_bytes(content)
    else:
        kind = "neuroglancer_uint64_sharded_v1"
        encoding = {"minishard_index_encoding": "gzip", "data_encoding": "gzip"}
        sharding = {"@type": kind, "preshift_bits": 0, "hash": "murmurhash3_x86_128", "minishard_bits": 1}
        info["sharding"] = sharding | {"shard_bits": shard_bits} | encoding
        spec = ShardingSpecification.from_dict(info["sharding"])
        for name, content in synthesize_shard_files(spec, dict(entries)).items():
            (folder / name).write_bytes(content)
    (folder / "info").write_text(json.dumps(info))
    return folder
