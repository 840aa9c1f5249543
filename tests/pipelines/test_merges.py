"""Scores of edges of a finished run, and the judgement on artificial merges."""

import shutil

import numpy as np
import pytest
import yaml

from pipelines.inspect import run_faults
from pipelines.merges import judge_merges, score_merges
from pipelines.pairs import held_out_segments
from pipelines.run import Run
from segclr import files
from segclr.classify import MergeFinder, MergeProtocol
from segclr.errors import ConfigError, MissingDataError
from segclr.store.embeddings import open_embeddings
from segclr.store.parquet import read_columns, read_folder
from tests.pipelines.conftest import IDS, segclr


@pytest.fixture
def typed_run(labelled_run, tmp_path):
    """The run with a type for every tube, two training tubes of each."""
    held_out = held_out_segments(labelled_run)
    training = sorted(set(IDS.tolist()) - held_out)
    types = list(zip([*training, *sorted(held_out)], "ababab", strict=True))
    table = tmp_path / "types.csv"
    table.write_text("segment_id,cell_type\n" + "".join(f"{i},{kind}\n" for i, kind in types))
    labels = labelled_run.config.labels.model_copy(update={"cell_types": str(table)})
    return Run(labelled_run.url, labelled_run.config.model_copy(update={"labels": labels}))


def test_every_edge_of_every_segment_is_scored_once(typed_run):
    rows = read_folder(score_merges(typed_run, radius_um=1.0))
    table = open_embeddings(typed_run.path("embeddings")).read_all()
    below = table.parents >= 0
    wanted = zip(table.segment_ids[below], table.node_ids[below], table.parents[below], strict=True)
    got = zip(rows["segment_id"], rows["node_id"], rows["parent"], strict=True)
    assert sorted(got) == sorted(wanted)
    assert rows["segment_id"].dtype == np.uint64
    assert set(rows["segment_id"].tolist()) == set(IDS.tolist())
    for name in ("score", "type_change", "embedding_change", "x_nm", "y_nm", "z_nm"):
        assert rows[name].dtype == np.float32
        assert np.isfinite(rows[name]).all()
    assert rows["score"].max() > 0


def test_the_place_of_a_score_is_the_middle_of_its_edge(typed_run):
    folder = score_merges(typed_run, radius_um=1.0)
    table = open_embeddings(typed_run.path("embeddings")).read_all()
    keys = zip(table.segment_ids.tolist(), table.node_ids.tolist(), strict=True)
    place = dict(zip(keys, table.points_nm.astype(float), strict=True))
    for url in files.glob(folder, "*.parquet"):
        rows = read_columns(url)
        for i in range(len(rows["score"])):
            segment = int(rows["segment_id"][i])
            ends = place[segment, int(rows["node_id"][i])], place[segment, int(rows["parent"][i])]
            middle = [rows[f"{axis}_nm"][i] for axis in "xyz"]
            np.testing.assert_allclose(middle, (ends[0] + ends[1]) / 2, rtol=1e-6)


def test_no_segment_is_scored_by_what_was_learned_from_it(typed_run, monkeypatch):
    scored, score = [], MergeFinder.score

    def watched(self, table):
        assert not np.isin(table.segment_ids, self.cells).any()
        scored.extend(np.unique(table.segment_ids).tolist())
        return score(self, table)

    monkeypatch.setattr(MergeFinder, "score", watched)
    score_merges(typed_run, radius_um=1.0)
    assert sorted(scored) == sorted(IDS.tolist())


def test_merges_of_held_out_tubes_are_judged_for_every_encoder(typed_run):
    url = judge_merges(typed_run, radius_um=1.0, protocol=MergeProtocol(min_nodes=4))
    rows = files.read_json(url)
    assert {r["encoder"] for r in rows} == {"trained", "untrained"}
    for row in rows:
        assert row["n_merged"] == 1
        assert row["n_unmerged"] == row["n_cells"] == 2
        assert 0 <= row["auroc"] <= 1


def test_without_types_or_embeddings_it_is_told_what_to_do(labelled_run, typed_run):
    with pytest.raises(ConfigError, match=r"no labels\.cell_types"):
        score_merges(labelled_run, radius_um=1.0)
    shutil.rmtree(typed_run.path("records/compact"))
    with pytest.raises(MissingDataError, match="segclr embed"):
        score_merges(typed_run, radius_um=1.0)


def test_validate_finds_scores_that_are_damaged_old_or_not_whole(typed_run):
    before, _ = run_faults(typed_run.url)

    def new_faults():
        return [fault for fault in run_faults(typed_run.url)[0] if fault not in before]

    folder = score_merges(typed_run, radius_um=1.0)
    assert new_faults() == []
    told, shard = files.read_json(f"{folder}/scores.json"), files.glob(folder, "shard-*")[0]
    files.write_json(f"{folder}/scores.json", told | {"embeddings_digest": "earlier"})
    (old,) = new_faults()
    assert "made from other embeddings" in old
    assert "segclr classify merges" in old
    files.write_json(f"{folder}/scores.json", {"format": told["format"]})
    (torn,) = new_faults()
    assert "scores.json has no checksums" in torn
    files.remove(f"{folder}/scores.json")
    (half,) = new_faults()
    assert half.startswith("predictions/merges-path-1um: no such file")
    files.write_bytes(f"{folder}/shard-0007-of-0008.parquet", b"of an earlier run with more shards")
    score_merges(typed_run, radius_um=1.0)
    assert len(files.glob(folder, "shard-*")) == len(told["sha256"])
    files.write_bytes(shard, files.read_bytes(shard)[:-1])
    (damaged,) = new_faults()
    assert "does not have its checksum" in damaged


def test_options_of_the_judgement_are_refused_when_scoring(typed_run, tmp_path):
    config = tmp_path / "merges.yaml"
    config.write_text(yaml.safe_dump(typed_run.config.model_dump(mode="json") | {"run": typed_run.url}))
    answer = segclr("classify", "merges", "--config", str(config), "--min-nodes", "3")
    assert answer.returncode == 2
    assert "--min-nodes is of no use to scoring: it belongs to --evaluate" in answer.stderr
