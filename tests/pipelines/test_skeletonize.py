"""The stages that make skeletons: the same files whatever the workers, one tree a tube."""

import json
from pathlib import Path

import numpy as np
import pytest
from cloudvolume import CloudVolume

from pipelines.records import read_record
from pipelines.workflow import run_one
from segclr.config import RunConfig
from segclr.data.nodes import NodeTable
from segclr.errors import ConfigError, StageFailedError
from segclr.store.parquet import read_columns
from tests.pipelines.conftest import IDS, config_tree, content

CUT = {"block_vx": [100, 64, 30], "n_shards": 3}


def skeletonize(volumes: Path, run: Path, *, cluster=None, **skeletons) -> Path:
    tree = config_tree(volumes, run) | {"skeletons": skeletons}
    run_one(RunConfig.model_validate(tree | ({"cluster": cluster} if cluster else {})), "skeletonize")
    return run


def vertices(run: Path) -> NodeTable:
    tables = (read_columns(str(p)) for p in sorted((run / "skeletons").glob("*.parquet")))
    return NodeTable.concatenate(NodeTable.from_columns(t) for t in tables)


@pytest.fixture(scope="module")
def in_blocks(volumes, tmp_path_factory) -> Path:
    return skeletonize(volumes, tmp_path_factory.mktemp("blocks") / "run", **CUT)


def test_every_tube_is_one_tree_through_all_blocks(in_blocks):
    table = vertices(in_blocks)
    assert dict(table.segments()).keys() == set(IDS.tolist())
    assert (table.parents < 0).sum() == len(IDS)
    for _, rows in table.segments():
        assert np.ptp(table.points_nm[rows, 0]) >= 155 * 32  # end to end: 160 voxels


def test_each_voxel_is_counted_once(in_blocks, volumes):
    labels = np.asarray(CloudVolume(f"file://{volumes}/seg", progress=False)[:, :, :])
    ids, counts = np.unique(labels[labels > 0], return_counts=True)
    tables = [read_columns(str(p)) for p in sorted((in_blocks / "sizes").glob("*.parquet"))]
    found = {int(k): int(n) for t in tables for k, n in zip(t["segment_id"], t["n_voxels"], strict=True)}
    assert found == dict(zip(ids.tolist(), counts.tolist(), strict=True))
    assert len(list((in_blocks / "census").glob("*.parquet"))) == 2 * 1 * 2


def test_two_workers_write_the_same_bytes(in_blocks, volumes, tmp_path):
    cluster = {"kind": "local", "workers": 2, "memory_gb": 2}
    assert content(skeletonize(volumes, tmp_path / "run", cluster=cluster, **CUT)) == content(in_blocks)


def test_dust_is_what_is_small_in_the_whole_volume_not_in_a_block(volumes, in_blocks, tmp_path):
    sizes = [read_columns(str(p)) for p in (in_blocks / "sizes").glob("*.parquet")]
    smallest = min(int(t["n_voxels"].min()) for t in sizes if len(t["n_voxels"]))
    kept = skeletonize(volumes, tmp_path / "kept", min_segment_vx=smallest, **CUT)
    assert len(dict(vertices(kept).segments())) == len(IDS)
    dropped = skeletonize(volumes, tmp_path / "dropped", min_segment_vx=smallest + 1, **CUT)
    dust = [read_record(str(dropped), "sizes", p.stem) for p in (dropped / "sizes").glob("*.parquet")]
    n_dust = sum(r.counts["dust_segments"] for r in dust)
    assert n_dust >= 1
    assert len(dict(vertices(dropped).segments())) == len(IDS) - n_dust


@pytest.mark.parametrize("kind", ["sharded", "unsharded"])
def test_cloud_volume_reads_the_precomputed_skeletons(volumes, tmp_path, kind):
    run = skeletonize(volumes, tmp_path / "run", precomputed=kind, **CUT)
    layer = CloudVolume(f"file://{volumes}/seg", progress=False).info | {"skeletons": "precomputed"}
    source = CloudVolume(f"file://{run}/skeletons", info=layer, progress=False).skeleton
    table = vertices(run)
    for segment_id, rows in table.segments():
        found = source.get(segment_id)
        assert np.array_equal(found.vertices, table.points_nm[rows])
        assert np.array_equal(found.radii, table.radii_nm[rows])
        edges = {tuple(sorted(e)) for e in found.edges.tolist()}
        parents = table.parents[rows]
        assert edges == {tuple(sorted((i, int(p)))) for i, p in enumerate(parents) if p >= 0}
    listed = {
        name: part.stem
        for part in (run / "records" / "precomputed").glob("*.json")
        for name in json.loads(part.read_text())["files"]
    }
    there = {str(p.relative_to(run)) for p in (run / "skeletons" / "precomputed").iterdir()}
    assert there == listed.keys()


def test_none_writes_no_precomputed_skeletons(volumes, tmp_path):
    run = skeletonize(volumes, tmp_path / "run", precomputed="none", **CUT)
    assert not (run / "skeletons" / "precomputed").exists()
    assert not (run / "records" / "precomputed").exists()


def test_more_shards_than_segments_leave_some_empty_and_nodes_go_on(volumes, tmp_path):
    tree = config_tree(volumes, tmp_path / "run") | {"skeletons": {"n_shards": 12}}
    config = RunConfig.model_validate(tree)
    for command in ("skeletonize", "nodes"):
        run_one(config, command)
    rows = [len(read_columns(str(p))["node_id"]) for p in (tmp_path / "run" / "nodes").glob("*.parquet")]
    assert len(rows) == 12
    assert 0 in rows
    assert sum(rows) > 0


def test_a_block_past_its_time_is_named_with_the_key_to_change(volumes, tmp_path):
    with pytest.raises(StageFailedError, match=r"block-z0000-y0000-x0000.*cluster\.block_time_s = 0\.01"):
        skeletonize(volumes, tmp_path / "run", cluster={"kind": "none", "block_time_s": 0.01}, **CUT)
    again = skeletonize(volumes, tmp_path / "run", cluster={"kind": "none", "block_time_s": 60}, **CUT)
    assert len(dict(vertices(again).segments())) == len(IDS)


def test_a_block_beyond_the_workers_memory_is_refused_before_any_is_made(volumes, tmp_path):
    with pytest.raises(
        ConfigError, match=r"skeletons\.block_vx \(160, 64, 48\).*cluster\.memory_gb is 0\.01"
    ):
        skeletonize(
            volumes, tmp_path / "run", cluster={"kind": "none", "memory_gb": 0.01}, block_vx=[160, 64, 48]
        )
    assert not (tmp_path / "run" / "fragments").exists()
