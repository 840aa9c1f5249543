"""What a run goes on without: nothing is wrong, nothing goes missing uncounted, and it can come back."""

import json
import shutil

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipelines.inspect import run_faults
from pipelines.lost import ORDER, bridged_parents, is_lost, lost_parts
from pipelines.nodes import SNAPPED, _snap_without
from pipelines.workflow import run_all
from segclr.aggregate.pool import aggregate
from segclr.config import load_config
from segclr.data.nodes import NodeTable
from segclr.errors import LostNodesError
from segclr.store.buckets import bucket_rows
from segclr.store.embeddings import open_embeddings
from segclr.store.keys import keys_of
from segclr.store.parquet import read_columns, read_folder
from tests.pipelines.conftest import config_tree, content, segclr, write_run_yaml


@st.composite
def forests(draw) -> tuple[NodeTable, np.ndarray]:
    """Trees of two segments, whose parents come first, and which nodes are lost."""
    parents, ids = [], []
    for segment_id in (7, 2**63 + 5):
        n = draw(st.integers(1, 8))
        parents += [draw(st.integers(-1, i - 1)) for i in range(n)]
        ids += [(segment_id, i) for i in range(n)]
    lost = np.array([draw(st.booleans()) for _ in ids])
    table = NodeTable(
        segment_ids=np.array([s for s, _ in ids], np.uint64),
        node_ids=np.array([n for _, n in ids], np.uint32),
        points_nm=np.zeros((len(ids), 3), np.float32),
        radii_nm=np.zeros(len(ids), np.float32),
        parents=np.array(parents, np.int32),
    )
    return table, lost


@given(forests())
def test_lost_parents_are_bridged_to_the_nearest_ancestor_that_is_left(forest):
    nodes, lost = forest
    gone = {(int(s), int(n)) for s, n in zip(nodes.segment_ids[lost], nodes.node_ids[lost], strict=True)}
    above = {
        (int(s), int(n)): int(p)
        for s, n, p in zip(nodes.segment_ids, nodes.node_ids, nodes.parents, strict=True)
    }
    found = bridged_parents(nodes, lost)
    left = [key for key in above if key not in gone]
    assert len(found) == len(left)
    for (segment, node), parent in zip(left, found.tolist(), strict=True):
        wanted = above[segment, node]
        while wanted >= 0 and (segment, wanted) in gone:
            wanted = above[segment, wanted]
        if wanted >= 0:
            assert parent == wanted
        else:  # all above are lost: a root, or joined to the tree's new root, never to a lost node
            assert parent == -1 or (segment, parent) not in gone


def test_nodes_are_told_apart_by_all_64_bits_of_their_segment():
    ids = np.array([2**53, 2**53 + 1, 2**64 - 1], np.uint64)
    keys = keys_of({"segment_id": ids, "node_id": np.zeros(3, np.uint32)})
    assert len(np.unique(keys)) == 3


@pytest.fixture
def damaged(finished_run, volumes, tmp_path):
    """A copy of the finished run and of its volume, embeddings to be made anew, one EM chunk torn."""
    shutil.copytree(volumes, tmp_path / "volumes")
    shutil.copytree(finished_run, tmp_path / "run")
    for name in ("embed", "compact", "aggregate", "evaluate", "report"):
        for which in (name, f"untrained-{name}"):
            shutil.rmtree(tmp_path / "run" / "records" / which, ignore_errors=True)
    for name in ("parts", "embeddings", "aggregated"):
        for folder in (tmp_path / "run", tmp_path / "run" / "untrained"):
            shutil.rmtree(folder / name)
    (victim,) = (tmp_path / "volumes" / "em" / "32_32_40").glob("160-192_0-32_16-48")
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-100])
    config = tmp_path / "config.yaml"
    tree = config_tree(tmp_path / "volumes", tmp_path / "run")
    write_run_yaml(tmp_path / "run", tree)
    config.write_text(yaml.safe_dump(tree))
    return config, lambda: victim.write_bytes(whole)


def test_a_damaged_chunk_costs_its_blocks_only_and_they_come_back(damaged, finished_run, tmp_path):
    config, mend = damaged
    loaded = load_config(str(config), ["cluster.retry_first_s=0.001"])
    for _ in range(2):  # the second finds all done, and says the same
        with pytest.raises(LostNodesError, match=r"embed 2 parts \(\d+ nodes\), untrained-embed 2 parts"):
            run_all(loaded)
    run = str(tmp_path / "run")
    parts = list(lost_parts(run, "embed"))
    assert all("cannot be decoded" in part.message for part in parts)

    nodes = read_folder(f"{run}/nodes")
    ours, right = (open_embeddings(f"{r}/embeddings").read_all() for r in (run, str(finished_run)))
    lost = read_folder(f"{run}/lost/embed")
    found = set(zip(ours.segment_ids.tolist(), ours.node_ids.tolist(), strict=True))
    listed = set(zip(lost["segment_id"].tolist(), lost["node_id"].tolist(), strict=True))
    assert not found & listed
    assert found | listed == set(zip(nodes["segment_id"].tolist(), nodes["node_id"].tolist(), strict=True))
    assert sum(part.n_nodes for part in parts) == len(listed) > 0
    kept = np.isin(*(keys_of({"segment_id": t.segment_ids, "node_id": t.node_ids}) for t in (right, ours)))
    np.testing.assert_array_equal(ours.embeddings, right.embeddings[kept])
    aggregate(ours, radius_um=1, metric="path")  # refuses a parent that is not there

    faults, told = run_faults(run)
    assert faults == []
    assert len(told) == 4
    validated = segclr("validate", run, "--json")
    assert validated.returncode == 1
    assert json.loads(validated.stdout) == {"faults": [], "lost": told}
    status = segclr("status", run, "--json")
    stages = {stage["stage"]: stage for stage in json.loads(status.stdout)}
    assert (stages["embed"]["done"], stages["embed"]["failed"], stages["embed"]["missing"]) == (1, 2, 0)
    assert len(stages["embed"]["lost"]) == 2

    mend()
    run_all(load_config(str(config), ["cluster.retry_lost=true"]))
    ours, theirs = (
        {name: digest for name, digest in content(run).items() if "report" not in name}  # it names the volume
        for run in (tmp_path / "run", finished_run)
    )
    assert ours == theirs


def test_a_block_whose_segmentation_cannot_be_read_loses_all_its_nodes_and_counts_them(labelled_run):
    (part,) = (u.stem for u in _snapped(labelled_run))
    outcome = _snap_without(labelled_run, part)
    assert outcome.counts["lost"] == outcome.counts["lost_nodes"] == outcome.rows > 0
    columns = read_columns(labelled_run.path(f"{SNAPPED}/{part}.parquet"))
    assert columns["lost"].all()
    assert sum(bucket_rows(labelled_run.path(f"{SNAPPED}/{part}.parquet")).values()) == outcome.rows
    assert not is_lost(
        labelled_run, columns["segment_id"], columns["node_id"]
    ).any()  # dropped, as others are


def _snapped(run):
    from pathlib import Path

    return sorted(Path(run.path(SNAPPED)).glob("*.parquet"))


def test_every_stage_of_a_run_stands_in_the_order_of_the_story(finished_run):
    """A stage that does not would not be made again when a part before it comes back."""
    begun = {folder.name for folder in (finished_run / "records").iterdir()}
    assert begun - set(ORDER) == set()
    assert len(set(ORDER)) == len(ORDER)
