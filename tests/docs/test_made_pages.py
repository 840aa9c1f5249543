"""Pages that are made: complete, and the same as what they are made from."""

import ast
import json
import re

import pytest

from docs.hooks import scaling
from docs.hooks.command_line import command_line_page, commands
from docs.hooks.configuration import configuration_page, keys
from docs.hooks.docstrings import as_markdown
from docs.hooks.measured import measured_page, tables_of
from docs.hooks.pages import external_assets, made_pages
from pipelines.cli import app
from segclr.config import RunConfig
from segclr.geometry import BoundingBox
from tests.docs.commands import ROOT

PACKAGES = ("segclr", "segclr.aggregate", "segclr.classify", "segclr.embed", "segclr.explore", "segclr.model")
PACKAGES += (
    "segclr.plan",
    "segclr.train",
    "segclr.view",
    "segclr.data.neuropil",
    "segclr.data.skeleton_sources",
)


def test_every_command_and_option_is_on_its_page():
    page = command_line_page(app)
    for name, command in commands(app):
        section = page.partition(f"## {name}\n")[2].partition("\n## ")[0]
        assert section, name
        for parameter in command.params:
            words = (
                parameter.opts
                if parameter.opts[0].startswith("-")
                else [(parameter.metavar or parameter.name).upper()]
            )
            assert all(f"`{word}`" in section for word in words), (name, words)


def test_every_key_of_a_configuration_is_on_its_page():
    page = configuration_page()
    names = list(keys(RunConfig))
    assert {"seed", "train.augment.shift_vx", "cluster.jobs.walltime"} <= set(names)
    for name in names:
        section, _, key = name.rpartition(".")
        title = section or "At the top"
        where = page.partition(f"## {title}\n")[2].partition("\n## ")[0]
        assert f"| `{key}`" in where or f"\n## {name}\n" in page, name


def leaves(tree):
    """All values of a tree of JSON but true, false and null."""
    if isinstance(tree, dict):
        for value in tree.values():
            yield from leaves(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from leaves(value)
    elif tree is not None and not isinstance(tree, bool):
        yield tree


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks/results").glob("*.json")), ids=lambda p: p.stem)
def test_the_tables_of_results_hold_every_number_of_their_file(path):
    text = "".join(tables_of(json.loads(path.read_text()))).replace(",", "")
    shown = {float(n) for n in re.findall(r"-?\d+\.?\d*(?:e[+-]?\d+)?", text)}
    for value in leaves(json.loads(path.read_text())):
        if isinstance(value, str):
            assert (
                " ".join(value.split())[:20]
                .replace(",", "")
                .replace("|", "\\|")
                .replace("<", "&lt;")
                .replace(">", "&gt;")
                in text
            )
        else:
            assert any(abs(value - n) <= 6e-4 * abs(value) for n in shown), value


def test_every_file_of_results_is_on_the_page_with_its_script():
    page = measured_page(ROOT / "benchmarks")
    for path in (ROOT / "benchmarks/results").glob("*.json"):
        assert f"python benchmarks/{path.stem.partition('.')[0]}.py" in page


def test_neighbours_of_the_same_keys_stand_in_one_table():
    tree = {"machine": "m", "a": {"x": 1, "y": 2}, "b": {"x": 3, "y": 4}, "c": {"x": 5}, "other": {"q": 7}}
    first, second, third = tables_of(tree)
    assert first == "|  |  |\n| --- | --- |\n| machine | m |\n"
    assert second == "|  | x | y |\n| --- | --- | --- |\n| a | 1 | 2 |\n| b | 3 | 4 |\n| c | 5 |  |\n"
    assert third == "**other**\n\n|  |  |\n| --- | --- |\n| q | 7 |\n"


def test_the_scaling_page_says_what_the_plan_says_now():
    text = scaling.PAGE.read_text()
    assert scaling.rewritten(text) == text, "run: python -m docs.hooks.scaling"


def test_the_scaling_page_counts_voxels_and_nodes_as_one_would_by_hand():
    size = scaling.Size("", 100, 1, 0)
    plan = scaling.plan_of(size)
    box = BoundingBox((0, 0, 0), (3125, 3125, 2500))
    assert plan["voxels"].value.expected == box.n_voxels
    cable_um = 5.4 * 100**3
    segments = 5.4 * (6 * 100**2 / 4 + 100**3 / 150)
    assert plan["nodes"].value.expected == pytest.approx(cable_um / 1.5 + segments, rel=1e-6)
    assert f"{plan['nodes'].value.expected / 1e6:.3g}e6" in scaling.sizes_table({size: plan})


def test_all_public_packages_are_in_the_reference():
    text = "".join(page.read_text() for page in (ROOT / "docs/reference").glob("*.md"))
    told = set(re.findall(r"^::: ([\w.]+)", text, re.MULTILINE))
    for package in PACKAGES[1:]:
        assert package in told, package
    init = ast.parse((ROOT / "segclr/__init__.py").read_text())
    homes = {
        alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(init)
        if isinstance(node, ast.ImportFrom) and node.module.startswith("segclr.")
        for alias in node.names
        if alias.name != "__version__"
    }
    assert len(homes) >= 8
    inside = {home.rpartition(".")[0].rpartition(".")[0] for home in homes.values()} & told
    assert [
        h for h in homes.values() if h not in told and h.rpartition(".")[0].rpartition(".")[0] not in inside
    ] == []


def test_what_a_browser_would_fetch_from_elsewhere_is_found():
    for text in (
        '<script src="https://a.org/x.js"></script>',
        "<link rel=stylesheet href='//a.org/x.css'>",
        "<img alt=x src=http://a.org/x.png>",
        "@import 'https://a.org/x.css';",
        "body { background: url(https://a.org/x.png) }",
    ):
        assert external_assets(text), text
    assert not external_assets(
        '<a href="https://a.org">x</a><link rel="canonical" href="https://a.org"><img src="x.png">'
    )


def test_no_page_that_is_made_is_written_by_hand_too():
    assert [path for path, _ in made_pages() if (ROOT / "docs" / path).exists()] == []


def test_the_first_picture_is_small():
    assert (ROOT / "docs/img/first_page.png").stat().st_size < 200_000


def test_doctests_become_code_and_roles_go():
    text = as_markdown("Sum, see :func:`add`.\n\n    >>> 1 + 1\n    2\n\n    After.")
    assert text == "Sum, see `add`.\n\n    ```pycon\n    >>> 1 + 1\n    2\n    ```\n\n    After."
