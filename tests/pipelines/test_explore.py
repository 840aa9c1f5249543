"""``segclr search``, ``cluster`` and ``project`` on a finished run, held against its stored embeddings."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipelines.inspect import saved_run
from pipelines.node_clusters import ClusterSettings, cluster_nodes, read_clusters
from pipelines.projections import ProjectionSettings, project_nodes, read_projection
from pipelines.search import SearchRequest, hit_lines, search_index, search_run
from segclr.errors import ConfigError, CorruptDataError, DataError, MissingDataError, SegmentNotFoundError
from segclr.explore import hdbscan, project
from segclr.store.embeddings import open_embeddings
from tests.pipelines.conftest import IDS, segclr

LARGEST = int(IDS.max())  # 2**64 - 2


@pytest.fixture
def run(finished_run, tmp_path):
    shutil.copytree(finished_run, tmp_path / "run")
    return saved_run(str(tmp_path / "run"))


@pytest.fixture
def table(finished_run):
    return open_embeddings(str(finished_run / "embeddings")).read_all()


def by_cosine(table, vector):
    rows = table.embeddings.astype(float)
    rows /= np.linalg.norm(rows, axis=1)[:, None]
    return rows @ (vector / np.linalg.norm(vector))


def check_hits(found, table, cosine, allowed, k):
    order = np.lexsort((table.node_ids, table.segment_ids, -cosine))
    best = order[allowed[order]][:k]
    assert [(h["segment_id"], h["node_id"]) for h in found["hits"]] == [
        (str(s), n)
        for s, n in zip(table.segment_ids[best].tolist(), table.node_ids[best].tolist(), strict=True)
    ]
    assert [h["similarity"] for h in found["hits"]] == pytest.approx(cosine[best], abs=1e-6)
    assert [h["point_nm"] for h in found["hits"]] == table.points_nm[best].tolist()
    assert (found["k"], found["n_found"]) == (k, len(best))


def test_search_prints_what_brute_force_finds_with_ids_as_text(finished_run, table):
    row = int(np.flatnonzero(table.segment_ids == np.uint64(LARGEST))[1])
    arguments = ["--segment", str(LARGEST), "--node", str(table.node_ids[row]), "-k", "6", "--json"]
    filters = ["--other-segments", "--min-distance-um", "1.5"]
    found = json.loads(segclr("search", str(finished_run), *arguments, *filters).stdout)
    far = np.linalg.norm(table.points_nm.astype(float) - table.points_nm[row], axis=1) >= 1500
    other = table.segment_ids != np.uint64(LARGEST)
    assert found["query"]["segment_id"] == str(LARGEST)
    check_hits(found, table, by_cosine(table, table.embeddings[row].astype(float)), far & other, 6)


def test_a_place_asks_with_its_nearest_node_and_a_segment_with_its_mean(finished_run, table):
    run, row = saved_run(str(finished_run)), 5
    place = (table.points_nm[row] + np.float32([3, 0, 4])).tolist()
    found = search_run(run, SearchRequest(at_nm=tuple(place), k=4))
    assert found["query"]["segment_id"] == str(table.segment_ids[row])
    assert found["query"]["distance_from_place_nm"] == pytest.approx(5, abs=0.01)
    cosine = by_cosine(table, table.embeddings[row].astype(float))
    check_hits(found, table, cosine, np.arange(len(table)) != row, 4)
    mine = table.segment_ids == np.uint64(LARGEST)
    mean = table.embeddings[mine].astype(float).mean(axis=0)
    only = np.array([7, LARGEST], dtype=np.uint64)
    request = SearchRequest(segment_id=LARGEST, k=400, other_segments=True, only_segments=only)
    found = search_run(run, request)
    check_hits(found, table, by_cosine(table, mean), table.segment_ids == np.uint64(7), 400)
    lines = hit_lines(found)
    assert lines[0] == f"most like the mean of segment {LARGEST}:"
    assert lines[-1] == f"{found['n_found']} of 400: no other node passes the filters"
    nearest = hit_lines(search_run(run, SearchRequest(at_nm=tuple(place), metric="euclidean", k=3)))
    assert "distance" in nearest[1]
    assert len(nearest) == 5


def test_a_runs_index_knows_its_encoder_and_every_folder(finished_run):
    run = saved_run(str(finished_run))
    digests = [
        search_index(run, folder=f).encoder_digest
        for f in ("embeddings", "aggregated/path-1um", "untrained/embeddings")
    ]
    assert digests[0] == json.loads((finished_run / "encoder" / "config.json").read_text())["digest"]
    assert digests[0] == digests[1] != digests[2]
    with pytest.raises(
        ConfigError, match="no embeddings 'aggregated/path-9um'; it has embeddings, aggregated/"
    ):
        search_index(run, folder="aggregated/path-9um")
    with pytest.raises(SegmentNotFoundError, match="no node of segment 3"):
        search_run(run, SearchRequest(segment_id=3))


def test_clusters_lie_beside_the_embeddings_a_row_a_node_and_are_the_same_again(run, table):
    done = segclr("cluster", run.url, "--n-clusters", "3", "--seed", "5")
    assert done.stdout.strip() == run.path("clusters/kmeans-3.parquet")
    assert "cluster 0: " in done.stderr
    columns = read_clusters(run, "kmeans-3")
    assert columns["segment_id"].dtype == np.uint64
    assert np.array_equal(columns["segment_id"], table.segment_ids)
    assert np.array_equal(columns["node_id"], table.node_ids)
    assert LARGEST in columns["segment_id"]
    sizes = np.bincount(columns["cluster"])
    assert (np.diff(sizes) <= 0).all()
    told = json.loads(Path(run.path("clusters/kmeans-3.json")).read_text())
    assert told["sizes"] == sizes.tolist()
    assert told["settings"] == {"metric": "cosine", "n_clusters": 3}
    assert (told["seed"], told["embeddings"], told["n_nodes"]) == (5, "embeddings", len(table))
    assert "scikit-learn" in told["versions"]
    cluster_nodes(run, ClusterSettings(n_clusters=3), seed=5, name="again")
    first, again = (Path(run.path(f"clusters/{name}.parquet")) for name in ("kmeans-3", "again"))
    assert first.read_bytes() == again.read_bytes()
    assert segclr("validate", run.url).returncode == 0


def test_options_of_the_method_are_taken(run):
    done = segclr(
        "cluster", run.url, "--method", "hdbscan", "--components", "3", "--max-nodes", "9999", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["settings"]["n_components"] == 3


def test_hdbscan_of_aggregated_embeddings_is_named_after_them(run):
    settings = ClusterSettings(method="hdbscan", min_cluster_size=8, n_components=4)
    url = cluster_nodes(run, settings, folder="aggregated/euclidean-1um")
    assert url == run.path("clusters/hdbscan-8-aggregated-euclidean-1um.parquet")
    labels = read_clusters(run, "hdbscan-8-aggregated-euclidean-1um")["cluster"]
    rows = open_embeddings(run.path("aggregated/euclidean-1um")).read_all().embeddings
    same = hdbscan(rows, min_cluster_size=8, n_components=4, seed=run.config.seed)
    assert np.array_equal(labels, same.labels)


def test_a_projection_lies_beside_the_embeddings_a_row_a_node(run, table):
    done = segclr("project", run.url, "--components", "3", "--metric", "euclidean", "--json")
    told = json.loads(done.stdout)
    assert told["url"] == run.path("projections/pca-3.parquet")
    columns = read_projection(run, "pca-3")
    assert np.array_equal(columns["segment_id"], table.segment_ids)
    same = project(table.embeddings, n_components=3, seed=0)
    found = np.stack([columns[f"c{i}"] for i in (1, 2, 3)], axis=1)
    np.testing.assert_allclose(found, same.coordinates, atol=1e-5)
    assert told["explained_variance_ratio"] == pytest.approx(same.explained_variance_ratio)


def test_segments_that_were_asked_for_and_have_no_node_are_named(run, table):
    wanted = np.array([table.segment_ids[0], 2**64 - 1], dtype=np.uint64)
    found = search_run(run, SearchRequest(at_nm=(0, 0, 0), only_segments=wanted))
    assert found["only_segments_without_nodes"] == ["18446744073709551615"]
    assert hit_lines(found)[-1] == "1 of the segments asked for have no node: 18446744073709551615"


def test_there_are_no_more_principal_components_than_numbers(run):
    with pytest.raises(ConfigError, match="embeddings of 64 numbers have 64 principal components, not 65"):
        project_nodes(run, ProjectionSettings(n_components=65))


def test_a_result_of_other_embeddings_or_a_damaged_one_is_not_read(run):
    project_nodes(run, ProjectionSettings(), name="mine")
    with pytest.raises(MissingDataError, match=r"no projections yours \(there are: mine\)"):
        read_projection(run, "yours")
    beside, path = Path(run.path("projections/mine.json")), Path(run.path("projections/mine.parquet"))
    told = json.loads(beside.read_text())
    beside.write_text(json.dumps(told | {"embeddings_digest": "of others"}))
    with pytest.raises(DataError, match="other embeddings than embeddings holds now: run `segclr project`"):
        read_projection(run, "mine")
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(CorruptDataError, match="checksum"):
        read_projection(run, "mine")


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["search"], 2, "--at x,y,z or --segment ID"),
        (["search", "--segment", "7", "--min-distance-um", "1"], 2, "measured from one node"),
        (["search", "--segment", str(2**64)], 2, "2**64 - 1, got '18446744073709551616'"),
        (["search", "--at", "1,2"], 2, "three numbers in nm"),
        (["search", "--segment", "7", "--node", "4000000"], 1, "no node 4000000 of segment 7"),
        (["cluster", "--n-clusters", "100000"], 1, "need as many embeddings"),
        (["cluster", "--name", "../up"], 2, "got '../up'"),
        (["cluster", "--min-cluster-size", "9"], 2, "--min-cluster-size is of no use to kmeans"),
        (["cluster", "--method", "hdbscan", "--n-clusters", "9"], 2, "--n-clusters is of no use to hdbscan"),
        (["project", "--min-dist", "0.2"], 2, "--min-dist is of no use to pca"),
        (["project", "--embeddings", "nothing"], 2, "no embeddings 'nothing'"),
    ],
)
def test_wrong_input_gets_one_line_and_its_status(
    finished_run, arguments, status, words, capsys, monkeypatch
):
    from pipelines.cli import main

    monkeypatch.setattr("sys.argv", ["segclr", arguments[0], str(finished_run), *arguments[1:]])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == status
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("segclr: error: ")
    assert words in lines[0]


def test_components_beyond_the_dimension_are_told_as_all_there_are(run, table):
    url = cluster_nodes(run, ClusterSettings(method="hdbscan", n_components=1000, min_cluster_size=5))
    told = json.loads(Path(url.replace(".parquet", ".json")).read_text())
    assert told["settings"]["n_components"] == table.embeddings.shape[1]
