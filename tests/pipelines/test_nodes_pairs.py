"""Nodes and pairs are the same tables whoever makes them, in whatever blocks, shards and order."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from pipelines.blocks import Stage, run_stage
from pipelines.cluster import Executors
from pipelines.nodes import check_nodes, node_shards, read_nodes
from pipelines.run import open_run
from pipelines.workflow import STAGES
from segclr.config import RunConfig
from segclr.data.nodes import NodeTable
from segclr.data.volume import open_volume
from segclr.errors import DataError
from segclr.geometry import voxels_of_points
from segclr.store.parquet import read_columns, read_folder, write_columns
from tests.pipelines.conftest import IDS, config_tree


@pytest.fixture(scope="module")
def skeletons(volumes, tmp_path_factory):
    """A run with skeletons, in three files instead of one."""
    run = tmp_path_factory.mktemp("skeletons") / "run"
    do(config_of(volumes, run), ["skeletonize"])
    vertices = NodeTable.from_columns(read_folder(str(run / "skeletons")))
    for shard in (run / "skeletons").glob("*.parquet"):
        shard.unlink()
    for number in range(3):
        some = vertices.take(np.isin(vertices.segment_ids, np.sort(IDS)[number::3]))
        write_columns(str(run / "skeletons" / f"file-{number}.parquet"), some.columns())
    (run / "run.yaml").unlink()
    return run


def config_of(volumes, run, *, cluster=None, **nodes):
    tree = config_tree(volumes, run)
    tree["nodes"] |= {"smooth_nm": 100, **nodes}
    tree["cluster"] = cluster or {"kind": "none"}
    return RunConfig.model_validate(tree)


def do(config, commands, order=None):
    """Run commands with the parts of every stage in another order."""
    run = open_run(config)
    with Executors(config.cluster) as executors:
        for command in commands:
            for stage in STAGES[command](run):
                parts = list(stage.parts)
                if order is not None:
                    order.shuffle(parts)
                run_stage(run, Stage(stage.name, parts, stage.work, stage.inputs, stage.alone), executors)
    return run


def tables(run: Path):
    nodes = read_folder(str(run / "nodes"))
    order = np.lexsort((nodes["node_id"], nodes["segment_id"]))
    return (
        {k: v[order] for k, v in nodes.items()},
        read_columns(str(run / "pairs.parquet")),
        read_columns(str(run / "segments.parquet")),
    )


def same(one, other):
    return all(
        a.keys() == b.keys() and all(a[k].dtype == b[k].dtype and np.array_equal(a[k], b[k]) for k in a)
        for a, b in zip(one, other, strict=True)
    )


def test_blockwise_equals_whole_for_nodes_and_pairs(volumes, skeletons, tmp_path, monkeypatch):
    made = {}
    settings = [
        ("whole", {"block_vx": [512, 512, 512], "n_shards": 1}, None),
        ("blocks", {"block_vx": [64, 64, 32], "n_shards": 4}, None),
        ("small", {"block_vx": [17, 40, 23], "n_shards": 3}, None),
        (
            "workers",
            {"block_vx": [64, 32, 48], "n_shards": 5},
            {"kind": "local", "workers": 4, "memory_gb": 1},
        ),
    ]
    for number, (name, nodes, cluster) in enumerate(settings):
        run = tmp_path / name
        shutil.copytree(skeletons, run)
        order = np.random.default_rng(number)
        monkeypatch.setattr("pipelines.pairs._NODES_AT_ONCE", 1 << 20 if name == "whole" else 60)
        do(config_of(volumes, run, cluster=cluster, **nodes), ["nodes", "pairs"], order)
        made[name] = tables(run)
    nodes, pairs, segments = made["whole"]
    assert set(segments["segment_id"].tolist()) == set(IDS.tolist())
    assert len(pairs["segment_id"]) == 80
    assert len(nodes["segment_id"]) == segments["n_nodes"].sum() > 100
    assert all(same(made["whole"], other) for other in made.values())


def test_every_node_lies_in_its_segment_and_what_is_left_out_is_counted(volumes, skeletons, tmp_path):
    run_folder = tmp_path / "run"
    shutil.copytree(skeletons, run_folder)
    # one segment's skeleton far from it: most of its nodes find no voxel; another is shifted a little
    for url in (run_folder / "skeletons").glob("*.parquet"):
        columns = read_columns(str(url))
        far, near = (columns["segment_id"] == np.uint64(i) for i in (2**64 - 2, 7))
        columns |= {"z_nm": columns["z_nm"] - 700 * far, "y_nm": columns["y_nm"] + 150 * near}
        columns |= {k: columns[k].astype(np.float32) for k in ("y_nm", "z_nm")}
        write_columns(str(url), columns)
    run = do(config_of(volumes, run_folder, snap_nm=200, soma_radius_nm=150), ["nodes"])
    nodes = read_nodes(run)
    assert check_nodes(run) == len(nodes)
    volume = open_volume(config_of(volumes, run_folder).volume.segmentation, voxel_size_nm=(32, 32, 40))
    labels = volume.read(volume.bounds)
    x, y, z = (voxels_of_points(nodes.points_nm, (32, 32, 40)) - volume.bounds.start).T
    assert (labels[z, y, x] == nodes.segment_ids).all()
    counts = [p.read_text() for p in (run_folder / "records" / "snap-nodes").glob("*.json")]
    assert any('"lost": 0' not in c for c in counts)
    assert any('"moved": 0' not in c for c in counts)
    assert sum(map(len, node_shards(run))) == len(nodes)
    facts = read_folder(str(run_folder / "nodes"))
    assert np.array_equal(facts["is_soma"], facts["radius_nm"] >= 150)


def test_filters_keep_what_they_say(volumes, skeletons, tmp_path):
    (tmp_path / "ids.txt").write_text(f"{2**63 + 5}\n{2**53 + 1}\n12\n")
    run_folder = tmp_path / "run"
    shutil.copytree(skeletons, run_folder)
    box = [[2000, 0, 0], [4000, 5000, 5000]]
    run = do(config_of(volumes, run_folder, ids=str(tmp_path / "ids.txt"), box_nm=box, snap_nm=0), ["nodes"])
    nodes = read_nodes(run)
    assert set(nodes.segment_ids.tolist()) == {2**63 + 5, 2**53 + 1}
    assert ((nodes.points_nm[:, 0] >= 2000) & (nodes.points_nm[:, 0] < 4000)).all()


@pytest.mark.parametrize("filters", [{"min_cable_nm": 1e9}, {"box_nm": [[0, 0, 0], [1, 1, 1]]}])
def test_filters_that_leave_nothing_are_an_error(volumes, skeletons, tmp_path, filters):
    run_folder = tmp_path / "run"
    shutil.copytree(skeletons, run_folder)
    with pytest.raises(
        DataError, match=rf"no segment gets a node: .*nodes\.{next(iter(filters))} leaves none"
    ):
        do(config_of(volumes, run_folder, **filters), ["nodes"])


def test_the_split_of_the_labels_counts_unless_it_shall_not(volumes, skeletons, tmp_path):
    ids = sorted(IDS.tolist())
    lines = [f"{i},{'ab'[n % 2]},{'test' if n == 0 else 'train'}" for n, i in enumerate(ids)]
    (tmp_path / "types.csv").write_text("segment_id,cell_type,split\n" + "\n".join(lines) + "\n")
    held_out = {}
    for split in ("labels", "drawn"):
        run = tmp_path / split
        shutil.copytree(skeletons, run)
        tree = config_of(volumes, run).model_dump(mode="json")
        tree["labels"] = {"cell_types": str(tmp_path / "types.csv")}
        tree["pairs"] |= {"split": split, "held_out": 0.5}
        do(RunConfig.model_validate(tree), ["nodes", "pairs"])
        sides = read_columns(str(run / "segments.parquet"))
        held_out[split] = sides["segment_id"][sides["split"] == "held_out"].tolist()
    assert held_out["labels"] == ids[:1]
    assert {ids.index(i) % 2 for i in held_out["drawn"]} == {0, 1}  # of both types
