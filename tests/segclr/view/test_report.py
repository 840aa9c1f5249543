import base64
import csv
import io
from html.parser import HTMLParser

import pytest

from segclr import files
from segclr.errors import DataError
from segclr.view import (
    Illustration,
    Score,
    Section,
    Table,
    columns_to_csv,
    figure_scores,
    render_report,
    write_report,
)

EVIL = "<script>alert('x')</script>\" onerror=\"y"


class Page(HTMLParser):
    """Collects elements and text of a page."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.text = [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def illustration(**changes):
    figure = figure_scores([Score(task="t", method="trained", value=0.5)])
    values = {
        "name": "F1 bars",
        "caption": "Bars.",
        "alt": "one bar",
        "columns": {"id": [2**64 - 1], "v": [0.1]},
    }
    return Illustration(figure=figure, **(values | changes))


def page(**changes):
    values = {"title": "Run", "sections": [Section("One", figures=[illustration()])]}
    return Page(render_report(**(values | changes)))


def test_holds_as_many_figures_as_given_numbered_through_all_sections():
    sections = [
        Section("One", figures=[illustration(), illustration()]),
        Section("Two", figures=[illustration()]),
    ]
    got = page(sections=sections)
    assert len(got.all("img")) == len(got.all("figure")) == 3
    assert all(f"Figure {i}." in got.text for i in (1, 2, 3))


def test_is_self_contained_and_every_image_has_words():
    html = render_report(title="Run", sections=[Section("One", figures=[illustration()])])
    (image,) = Page(html).all("img")
    assert image["alt"] == "one bar"
    assert base64.b64decode(image["src"].removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")
    assert "http:" not in html
    assert "https:" not in html
    assert not Page(html).all("script")
    assert not Page(html).all("link")


def test_all_text_from_data_is_escaped():
    table = Table(caption=EVIL, header=(EVIL,), rows=[(EVIL,)])
    got = page(
        title=EVIL,
        facts={EVIL: EVIL},
        configuration=EVIL,
        sections=[
            Section(
                EVIL,
                paragraphs=[EVIL],
                tables=[table],
                figures=[illustration(name=EVIL, caption=EVIL, alt=EVIL)],
            ),
            Section(EVIL),
        ],
    )
    assert not got.all("script")
    assert not any("onerror" in attributes for _, attributes in got.elements)
    assert got.all("img")[0]["alt"] == EVIL
    assert got.text.count("<script>alert('x')</script>") >= 10


def test_the_numbers_behind_a_figure_can_be_downloaded_exactly():
    (link,) = [a for a in page().all("a") if "download" in a]
    assert link["download"] == "f1-bars.csv"
    content = base64.b64decode(link["href"].split("base64,")[1]).decode()
    assert list(csv.reader(io.StringIO(content))) == [["id", "v"], [str(2**64 - 1), "0.1"]]


def test_a_figure_without_numbers_has_no_link():
    got = page(sections=[Section("One", figures=[illustration(columns={})])])
    assert not [a for a in got.all("a") if "download" in a]


def test_tables_show_three_decimals_whole_ids_and_gaps():
    table = Table(caption="c", header=("id", "f1"), rows=[(2**63 + 1, 0.12345), (7, float("nan"))])
    got = page(sections=[Section("One", tables=[table])])
    for text in (str(2**63 + 1), "0.123", "–"):
        assert text in got.text
    assert len([td for td in got.all("td") if td.get("class") == "number"]) == 4


def test_the_same_input_gives_the_same_bytes():
    for name in ("a", "b"):
        write_report(
            f"memory://report/{name}.html", title="Run", sections=[Section("One", figures=[illustration()])]
        )
    assert files.read_bytes("memory://report/a.html") == files.read_bytes("memory://report/b.html")


def test_facts_and_configuration_are_shown():
    got = page(facts={"seed": "17"}, configuration="seed: 17\n")
    assert "seed17" in got.text.replace("\n", "")
    assert "seed: 17" in got.text


def test_warnings_stand_above_all_else_and_are_escaped():
    got = page(warnings=["the encoder has collapsed", EVIL], facts={"seed": "17"})
    assert len([p for p in got.all("p") if p.get("role") == "alert"]) == 2
    assert got.text.index("the encoder has collapsed") < got.text.index("seed")
    assert not got.all("script")
    assert not [p for p in page().all("p") if p.get("role") == "alert"]


def test_columns_that_differ_in_length_and_ragged_tables_are_refused():
    with pytest.raises(DataError, match="one length"):
        columns_to_csv({"a": [1], "b": [1, 2]})
    with pytest.raises(DataError, match="do not have 2 cells"):
        Table(caption="c", header=("a", "b"), rows=[(1,)])
