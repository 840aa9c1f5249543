"""What we write, cloud-volume reads back."""

import numpy as np
import pytest
from cloudvolume import CloudVolume

from segclr.data.skeleton import Skeleton
from segclr.data.skeleton_precomputed import (
    encode_skeleton,
    info_bytes,
    shard_bytes,
    shard_names,
    shards_of,
)

IDS = [1, 7, 2**53 + 1, 2**63 + 5, 2**64 - 1, *range(1000, 1040)]


def made(segment_id, n):
    random = np.random.default_rng(n)
    parents = np.array([-1, *(random.integers(0, i) for i in range(1, n))], np.int32)
    if n > 4:
        parents[n // 2] = -1  # two trees
    points = random.uniform(0, 1e6, (n, 3)).astype(np.float32)
    return Skeleton(segment_id, points, parents, random.uniform(1, 900, n).astype(np.float32))


SKELETONS = [made(k, 1 + i) for i, k in enumerate(IDS)]


def opened(folder):
    info = CloudVolume.create_new_info(
        num_channels=1,
        layer_type="segmentation",
        data_type="uint64",
        encoding="raw",
        resolution=(8, 8, 8),
        voxel_offset=(0, 0, 0),
        volume_size=(64, 64, 64),
        skeletons="precomputed",
    )
    return CloudVolume(f"file://{folder}", info=info, progress=False).skeleton


def assert_read_back(source):
    for skeleton in SKELETONS:
        found = source.get(skeleton.segment_id)
        assert found.id == skeleton.segment_id
        assert np.array_equal(found.vertices, skeleton.points_nm)
        assert np.array_equal(found.radii, skeleton.radii_nm)
        edges = {tuple(sorted(e)) for e in found.edges.tolist()}
        assert edges == {tuple(sorted((i, int(p)))) for i, p in enumerate(skeleton.parents) if p >= 0}


def test_one_file_a_skeleton_reads_back_equal(tmp_path):
    folder = tmp_path / "precomputed"
    folder.mkdir()
    (folder / "info").write_bytes(info_bytes(None))
    for skeleton in SKELETONS:
        (folder / str(skeleton.segment_id)).write_bytes(encode_skeleton(skeleton))
    assert_read_back(opened(tmp_path))


@pytest.mark.parametrize("n_shards", [1, 2, 5, 32])
def test_shards_read_back_equal_and_each_skeleton_is_in_one(tmp_path, n_shards):
    folder = tmp_path / "precomputed"
    folder.mkdir()
    (folder / "info").write_bytes(info_bytes(n_shards))
    place = shards_of(np.array(IDS, np.uint64), n_shards=n_shards)
    names = shard_names(n_shards)
    assert len(names) >= n_shards
    assert set(place) <= set(names)
    for name in names:
        own = [s for s, shard in zip(SKELETONS, place, strict=True) if shard == name]
        if own:
            (folder / f"{name}.shard").write_bytes(shard_bytes(own, n_shards=n_shards))
    assert_read_back(opened(tmp_path))


def test_the_order_of_skeletons_changes_no_byte():
    names = shards_of(np.array(IDS, np.uint64), n_shards=2)
    own = [s for s, name in zip(SKELETONS, names, strict=True) if name == names[0]]
    assert shard_bytes(own, n_shards=2) == shard_bytes(own[::-1], n_shards=2)
