"""Skeletons from elsewhere as a stage: shards, what is left out, and sources that do not fit."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipelines.blocks import run_stage
from pipelines.cluster import Executors
from pipelines.import_skeletons import import_skeletons_stage
from pipelines.nodes import read_nodes
from pipelines.records import read_record
from pipelines.run import Run
from pipelines.workflow import run_one
from segclr.config import RunConfig
from segclr.errors import ConfigError, DataError, MissingDataError, SkeletonError
from segclr.store.embeddings import shard_of
from segclr.store.parquet import read_columns
from tests.pipelines.conftest import IDS, OFFSET_VX, SHAPE_ZYX, VOXEL_NM, config_tree

N_SHARDS = 2


def axis_nm(number):
    """The middle of a tube of ``make_volumes``, float [n, 3]."""
    x = np.arange(SHAPE_ZYX[2])
    y = 12 + 20 * (number % 3) + 3 * np.sin(x / (6 + 2 * number))
    z = np.full(len(x), 12 + 24 * (number // 3))
    return (np.stack([x, y, z], axis=1) + 0.5 + OFFSET_VX) * VOXEL_NM


def write_swc(folder, segment_id, points):
    lines = [f"{i} 0 {x} {y} {z} 100 {i - 1}" for i, (x, y, z) in enumerate(points.tolist())]
    (folder / f"{segment_id}.swc").write_text("\n".join(lines))


@pytest.fixture
def swc(tmp_path):
    """A folder with a skeleton of each tube."""
    folder = tmp_path / "swc"
    folder.mkdir()
    for number, segment_id in enumerate(IDS):
        write_swc(folder, segment_id, axis_nm(number))
    return folder


@pytest.fixture
def make_run(volumes, tmp_path):
    def make(name="run", **skeletons):
        keys = {"source": "url", "n_shards": N_SHARDS, **skeletons}
        tree = config_tree(volumes, tmp_path / name) | {"skeletons": keys}
        return Run(tree["run"], RunConfig.model_validate(tree))

    return make


def do(run, **cluster):
    config = run.config.cluster.model_copy(update=cluster)
    with Executors(config) as executors:
        return run_stage(run, import_skeletons_stage(run), executors)


def shards(run):
    return [f"shard-{i:04d}-of-{N_SHARDS:04d}" for i in range(N_SHARDS)]


def counts(run):
    records = [read_record(run.url, "skeletonize", part) for part in shards(run)]
    return {k: sum(r.counts[k] for r in records) for k in records[0].counts}


def left_out(run):
    merged = {}
    for part in shards(run):
        for key, value in json.loads((run_path(run) / f"{part}.left_out.json").read_text()).items():
            merged.setdefault(key, type(value)())
            merged[key] = merged[key] | value if isinstance(value, dict) else merged[key] + value
    return merged


def run_path(run):
    return Path(run.url) / "skeletons"


def test_every_skeleton_lands_in_the_shard_of_its_id_and_leads_to_nodes(make_run, swc):
    run = make_run(url=f"swc://{swc}")
    assert do(run).n_done == N_SHARDS
    for shard, part in enumerate(shards(run)):
        table = read_columns(str(run_path(run) / f"{part}.parquet"))
        expected = np.sort(IDS[shard_of(IDS, n_shards=N_SHARDS) == shard])
        assert np.array_equal(np.unique(table["segment_id"]), expected)
        for segment_id in expected:
            rows = table["segment_id"] == segment_id
            points = np.stack([table[f"{a}_nm"][rows] for a in "xyz"], axis=1)
            assert points == pytest.approx(axis_nm(int(np.flatnonzero(segment_id == IDS)[0])), rel=1e-6)
            assert table["parent"][rows].tolist() == [-1, *range(len(points) - 1)]
    assert counts(run) == {"segments": 6, "trees": 6, "absent": 0, "empty": 0, "outside": 0}
    run_one(run.config, "nodes")
    assert np.array_equal(np.unique(read_nodes(run).segment_ids), np.sort(IDS))


def test_the_files_are_the_same_whatever_the_cluster_and_are_found_done(make_run, swc):
    runs = [make_run(name, url=f"swc://{swc}") for name in ("serial", "workers")]
    do(runs[0])
    do(runs[1], kind="local", workers=2)
    content = [{p.name: p.read_bytes() for p in run_path(run).iterdir()} for run in runs]
    assert content[0] == content[1]
    assert (do(runs[0]).n_done, do(runs[0]).n_found) == (0, N_SHARDS)


def test_what_is_absent_or_outside_is_counted_and_listed(make_run, swc, tmp_path):
    write_swc(
        swc, IDS[0], np.concatenate([axis_nm(0)[:40], axis_nm(1)[40:]])
    )  # three quarters in another tube
    ids = [*IDS.tolist(), 2**64 - 1, 99]
    (tmp_path / "ids.txt").write_text("\n".join(map(str, ids)))
    run = make_run(url=f"swc://{swc}", segment_ids=str(tmp_path / "ids.txt"))
    do(run)
    assert counts(run) == {"segments": 5, "trees": 5, "absent": 2, "empty": 0, "outside": 1}
    listed = left_out(run)
    assert sorted(listed["absent"]) == sorted(["99", str(2**64 - 1)])
    assert listed["share_outside"] == {str(IDS[0]): pytest.approx(120 / 160)}


def test_only_the_listed_segments_are_read(make_run, swc, tmp_path):
    (tmp_path / "ids.csv").write_text(f"segment_id\n{IDS[1]}\n")
    (swc / f"{IDS[2]}.swc").write_text("damaged")
    run = make_run(url=f"swc://{swc}", segment_ids=str(tmp_path / "ids.csv"))
    do(run)
    assert counts(run)["segments"] == 1


@pytest.mark.parametrize(
    ("factor", "hint"),
    [
        (1 / 1000, r"multiplied by 1000 \(micrometres\), 0\.0% would, so change skeletons\.unit_nm"),
        (1 / np.array(VOXEL_NM), r"multiplied by the voxel size 32x32x40 \(voxels\), 0\.0% would"),
    ],
)
def test_a_wrong_unit_is_refused_with_the_share_and_the_right_one_and_then_holds(make_run, swc, factor, hint):
    for number, segment_id in enumerate(IDS):
        write_swc(swc, segment_id, axis_nm(number) * factor)
    with pytest.raises(SkeletonError, match=rf"100\.0% of .* vertices, taken from 6 skeletons, .*{hint}"):
        import_skeletons_stage(make_run(url=f"swc://{swc}"))
    unit = np.broadcast_to(1 / np.asarray(factor), 3).tolist()
    run = make_run(url=f"swc://{swc}", unit_nm=unit)
    do(run)
    assert counts(run)["segments"] == 6


def test_nothing_is_refused_where_the_check_is_off(make_run, swc):
    write_swc(swc, IDS[0], axis_nm(1))
    run = make_run(url=f"swc://{swc}", max_outside=1.0)
    do(run)
    assert counts(run)["segments"] == 6


def test_a_skeleton_with_a_cycle_stops_its_part_by_name(make_run, swc):
    (swc / f"{IDS[3]}.swc").write_text("1 0 0 0 0 1 2\n2 0 0 0 0 1 1")
    with pytest.raises(SkeletonError, match=rf"segment {IDS[3]}: .*cycle through the edge"):
        import_skeletons_stage(make_run(url=f"swc://{swc}"))


def test_sources_and_lists_without_a_segment_are_refused(make_run, swc, tmp_path):
    (tmp_path / "ids.txt").write_text("")
    with pytest.raises(DataError, match=r"ids\.txt holds no segment id"):
        import_skeletons_stage(make_run(url=f"swc://{swc}", segment_ids=str(tmp_path / "ids.txt")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no skeleton"):
        import_skeletons_stage(make_run(url=f"swc://{tmp_path}/empty"))


@pytest.mark.parametrize("max_outside", [0.1, 1.0])
@pytest.mark.parametrize("n_absent", [2, 200])
def test_a_list_of_absent_segments_only_is_refused(make_run, swc, tmp_path, max_outside, n_absent):
    listed = tmp_path / "ids.txt"
    listed.write_text("\n".join(str(2**62 + i) for i in range(n_absent)))
    keys = {"url": f"swc://{swc}", "segment_ids": str(listed), "max_outside": max_outside}
    with pytest.raises(DataError, match=rf"none of the {n_absent} listed segments .*ids\.txt.* is in swc://"):
        import_skeletons_stage(make_run(**keys))


def test_one_segment_among_many_absent_ones_is_found_and_its_frame_checked(make_run, swc, tmp_path):
    present = int(IDS[3])  # 7, in row 5 of the list; the sample spread over it takes rows 0, 3, 6, 9 ...
    (tmp_path / "ids.txt").write_text("\n".join(str(i) for i in range(2, 202)))
    run = make_run(url=f"swc://{swc}", segment_ids=str(tmp_path / "ids.txt"))
    do(run)
    assert (counts(run)["segments"], counts(run)["absent"]) == (1, 199)
    write_swc(swc, present, axis_nm(1))
    with pytest.raises(SkeletonError, match="taken from 1 skeletons"):
        import_skeletons_stage(run)


def test_a_source_that_is_not_there_or_of_no_known_scheme_is_refused(make_run, tmp_path):
    with pytest.raises(MissingDataError):
        import_skeletons_stage(make_run(url=f"precomputed://{tmp_path}/nothing"))
    with pytest.raises(SkeletonError, match="must begin with one of"):
        import_skeletons_stage(make_run(url=str(tmp_path)))


@pytest.mark.parametrize("skeletons", [{"source": "url"}, {"source": "kimimaro", "url": "swc://a"}])
def test_source_and_url_go_together(skeletons):
    with pytest.raises(ValueError, match="go together"):
        RunConfig.model_validate({"name": "n", "run": "r", "tissue": {}, "skeletons": skeletons})


def test_stage_without_a_url_is_a_config_error(make_run, volumes, tmp_path):
    config = RunConfig.model_validate(config_tree(volumes, tmp_path / "run"))
    with pytest.raises(ConfigError, match=r"skeletons\.url is needed"):
        import_skeletons_stage(Run(config.run, config))


def test_one_far_vertex_makes_no_nodes_without_end(make_run, swc):
    points = axis_nm(0)
    whole = make_run("whole", url=f"swc://{swc}")
    far = make_run("far", url=f"swc://{swc}")
    for stage in ("skeletonize", "nodes"):
        run_one(whole.config, stage)
    write_swc(swc, IDS[0], np.concatenate([points, [[1e9, 1e9, 1e9]]]))
    for stage in ("skeletonize", "nodes"):
        run_one(far.config, stage)
    records = [read_record(far.url, "place-nodes", part) for part in shards(far)]
    assert sum(r.counts["vertices_outside_volume"] for r in records) == 1
    assert sum(r.rows for r in records) <= len(read_nodes(whole)) + 10  # the way out, and nodes.snap_nm
    assert len(read_nodes(far)) >= len(read_nodes(whole)) - 1  # the tube itself keeps its nodes
