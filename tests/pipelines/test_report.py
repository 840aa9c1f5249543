"""The page says what a run found, and says first where nothing of it can be believed."""

import re

import numpy as np
import pytest

from pipelines.classify import evaluate_stage
from pipelines.pairs import held_out_segments
from pipelines.report import report_stage, score_table
from segclr import files
from segclr.store.parquet import read_columns, write_columns
from tests.pipelines.conftest import IDS


def page(run) -> str:
    """The report after judging anew, without the images."""
    for task in ("compartment", "retrieval"):
        evaluate_stage(run).work(task)
    report_stage(run).work("index")
    html = files.read_bytes(run.path("report/index.html")).decode()
    return re.sub(r'"data:[^"]*"', '""', html)


def collapse(run, values) -> None:
    """Replace all embeddings of the trained encoder, aggregated ones too."""
    for url in [
        *files.glob(run.path("embeddings"), "*.parquet"),
        *files.glob(run.path("aggregated"), "*/*.parquet"),
    ]:
        columns = read_columns(url)
        n, d = columns["embedding"].shape
        write_columns(url, columns | {"embedding": values(n, d).astype(np.float32)})


def test_the_summary_stands_first_with_every_method_and_what_is_held_out(labelled_run):
    html = page(labelled_run)
    summary = html[html.index(">Summary</h2>") : html.index(">Volume and cubes</h2>")]
    for word in ("trained", "untrained", "chance", "node alone", "1 µm path", "Compartments", "Retrieval"):
        assert word in summary
    assert re.search(r"\d\.\d\d \[\d\.\d\d, \d\.\d\d\]", summary)
    assert "on 2 segments, never seen in training" in html
    assert "6 steps of 4 pairs" in html
    assert "Warning" not in html


def test_a_class_without_held_out_nodes_has_a_dash_and_a_note(labelled_run):
    html = page(labelled_run)
    assert "No held-out node is of class soma" in html
    table = html[html.index("Compartments: F1 on held-out cells") :]
    rows = [
        re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in table[: table.index("</table>")].split("<tr>")
    ]
    last = {row[0]: row[-1] for row in rows if row}
    assert last["held-out cells"] == "0"
    assert last["trained"] == last["untrained"] == "–"


def test_places_are_named_by_whole_ids_and_points_by_their_side(labelled_run):
    import pipelines.report_data as report_data

    shown = []
    original = report_data.SliceView

    def remember(*values):
        shown.append(values[-1])
        return original(*values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_data, "SliceView", remember)
        html = page(labelled_run)
    assert {title.split("\n")[1] for title in shown} <= {str(i) for i in IDS}
    held_out = read_columns(labelled_run.path("segments.parquet"))["split"] == "held_out"
    assert f"{held_out.sum()} held-out cells, none of them seen in training" in html


def test_volumes_are_told_by_voxels_type_and_bytes(labelled_run):
    html = page(labelled_run)
    assert "160 x 64 x 48" in html
    for word in ("uint8", "0.5 MB", "uint64", "3.9 MB", "32 x 32 x 40", "/em"):
        assert word in html
    assert "read as" not in html


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (lambda n, d: np.full((n, d), 0.25), "nodes are all equal"),
        (lambda n, d: np.zeros((n, d)), "nodes are all equal"),
        (lambda n, d: np.outer(np.random.default_rng(0).standard_normal(n), np.ones(d)), "lie on one line"),
    ],
)
def test_a_collapsed_encoder_does_not_end_the_report_but_is_told_on_top(labelled_run, values, words):
    collapse(labelled_run, values)
    html = page(labelled_run)
    n = sum(np.isin(read_columns(u)["segment_id"], sorted(held_out_segments(labelled_run))).sum()
            for u in files.glob(labelled_run.path("embeddings"), "*.parquet"))  # fmt: skip
    assert re.search(
        f"the encoder has collapsed: its embeddings of {n} nodes .*{words.removeprefix('nodes ')}", html
    )
    assert html.index("the encoder has collapsed") < html.index(">Summary</h2>")
    for task in ("compartment", "retrieval"):
        scores = [
            r.get("macro_f1", r.get("share"))
            for r in files.read_json(labelled_run.path(f"evaluation/{task}.json"))
        ]
        assert np.isfinite(scores).all()


def test_the_closing_table_has_one_kind_of_names_and_intervals_with_cells(labelled_run):
    page(labelled_run)
    header, rows = score_table(labelled_run)
    assert {len(row) for row in rows} == {len(header)}
    assert {row[0] for row in rows} == {"Compartments", "Retrieval"}
    judged = [row for row in rows if row[1] != "chance"]
    assert all(re.fullmatch(r"\d\.\d\d \[\d\.\d\d, \d\.\d\d\]", row[3]) and row[4] == "2" for row in judged)
