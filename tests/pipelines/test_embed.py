"""Embedding a run's nodes: in any parts, to any number of shards, every node once or an error."""

import shutil

import numpy as np
import pytest

from pipelines.blocks import run_stage
from pipelines.cluster import Executors
from pipelines.cubes import INDEX, STATISTICS, STORE, cube_summary
from pipelines.embed import batch_size_stage, check_complete, compact_stage, embed_stage
from pipelines.run import TRAINED, Run
from pipelines.work_parts import work_parts
from segclr import files
from segclr.config import ClusterConfig, RunConfig
from segclr.data.cubes import cut_cubes
from segclr.errors import DataError, MissingDataError
from segclr.store.cubes import open_cube_store
from segclr.store.embeddings import open_embeddings
from segclr.store.parquet import read_columns, read_folder, write_columns
from tests.pipelines.conftest import config_tree


@pytest.fixture
def run_with(finished_run, volumes, tmp_path):
    """A copy of the finished run up to its encoder, with some keys changed."""

    def of(**changes) -> Run:
        folder = tmp_path / "run"
        shutil.copytree(finished_run, folder)
        for name in ("parts", "embeddings", "records/embed", "records/compact"):
            shutil.rmtree(folder / name)
        tree = config_tree(volumes, folder)
        for section, values in changes.items():
            tree[section] |= values
        return Run(str(folder), RunConfig(**tree))

    return of


def do(run: Run, *stages) -> None:
    with Executors(ClusterConfig(kind="none")) as executors:
        for stage in stages:
            run_stage(run, stage(run, TRAINED), executors)


def embeddings(folder):
    return open_embeddings(str(folder / "embeddings")).read_all()


def test_what_an_attempt_with_other_parts_left_is_not_compacted(run_with, finished_run, tmp_path):
    run = run_with(cubes={"part_nodes": 9})
    do(run, embed_stage)
    left = files.glob(run.path("parts"), "*.parquet")[0]
    shutil.copy(left, left.replace(".parquet", "-0000000000.parquet"))
    do(run, compact_stage)
    assert check_complete(run, TRAINED) == len(embeddings(finished_run))


def test_the_stage_before_is_named_where_there_is_no_encoder_yet(run_with):
    run = run_with()
    shutil.rmtree(run.path("encoder"))
    with pytest.raises(MissingDataError, match=r"no trained encoder yet: run `segclr train` first"):
        embed_stage(run, TRAINED)


def test_pieces_of_blocks_and_other_shards_give_the_same_vectors(run_with, finished_run, tmp_path):
    run = run_with(cubes={"part_nodes": 9}, embed={"n_shards": 3, "batch_size": 5})
    do(run, embed_stage, compact_stage)
    assert len(files.glob(run.path("parts"), "*.parquet")) == len(work_parts(run)) > 15
    assert len(files.glob(run.path("embeddings"), "*.parquet")) == 3
    ours, undisturbed = embeddings(tmp_path / "run"), embeddings(finished_run)
    assert check_complete(run, TRAINED) == len(undisturbed)
    assert np.array_equal(ours.segment_ids, undisturbed.segment_ids)
    assert np.array_equal(ours.node_ids, undisturbed.node_ids)
    np.testing.assert_allclose(ours.embeddings, undisturbed.embeddings, rtol=1e-5, atol=1e-5)


def test_a_batch_size_found_by_trial_is_kept_and_used(run_with, finished_run, tmp_path):
    run = run_with(embed={"batch_size": "auto", "memory_gb": 1000.0})
    do(run, batch_size_stage, embed_stage, compact_stage)
    assert files.read_json(run.path("batch_size.json"))["batch_size"] == 256
    ours, undisturbed = embeddings(tmp_path / "run"), embeddings(finished_run)
    np.testing.assert_allclose(ours.embeddings, undisturbed.embeddings, rtol=1e-5, atol=1e-5)
    before = (tmp_path / "run" / "batch_size.json").stat().st_mtime_ns
    do(run, batch_size_stage)
    assert (tmp_path / "run" / "batch_size.json").stat().st_mtime_ns == before


def test_lost_doubled_and_foreign_rows_are_counted(finished_run, volumes, tmp_path):
    shutil.copytree(finished_run, tmp_path / "run")
    run = Run(str(tmp_path / "run"), RunConfig(**config_tree(volumes, tmp_path / "run")))
    n = check_complete(run, TRAINED)
    url = files.glob(run.path("embeddings"), "*.parquet")[0]
    columns = read_columns(url)
    rows = np.r_[0, 0, 0, np.arange(2, len(columns["node_id"]))]  # the first three times, the second lost
    changed = {k: v[rows] for k, v in columns.items()}
    changed["node_id"] = np.r_[changed["node_id"][:-1], np.uint32(999)].astype(np.uint32)  # another lost
    write_columns(url, changed)
    with pytest.raises(
        DataError, match=f"{n} nodes, but {n + 1} .* 2 nodes have none, 2 come more .* 1 are of no"
    ):
        check_complete(run, TRAINED)


def test_a_run_without_nodes_by_block_says_what_to_do(run_with):
    run = run_with()
    shutil.rmtree(run.path("nodes-parts", "by-block"))
    with pytest.raises(MissingDataError, match="run `segclr nodes` first"):
        work_parts(run)


def test_stored_cubes_are_those_of_the_index_and_their_statistics_stand_beside_them(finished_run, volumes):
    run = Run(str(finished_run), RunConfig(**config_tree(volumes, finished_run)))
    index, store = read_columns(run.path(INDEX)), open_cube_store(run.path(STORE))
    points = np.stack([index[f"{a}_nm"] for a in "xyz"], axis=1)
    cubes = cut_cubes(*run.open_volumes(), points, index["segment_id"], size_vx=18)
    assert np.array_equal(store.read(index["row"]), cubes)
    told = read_folder(run.path(STATISTICS))
    at = np.argsort(told["row"])[np.searchsorted(np.sort(told["row"]), index["row"])]
    assert told["occupancy"][at] == pytest.approx((cubes > 0).mean(axis=(1, 2, 3)))
    assert np.array_equal(told["grey_high"][at], cubes.max(axis=(1, 2, 3)))
    assert cube_summary(run)["n_cubes"] == len(cubes)
    # rows of a block begin at a shard of the store, and no two blocks share one
    for block in np.unique(index["block"]):
        shards = np.unique(index["row"][index["block"] == block] // 16)
        others = index["row"][index["block"] != block] // 16
        assert not set(shards) & set(others)
