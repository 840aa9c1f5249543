"""What can be said of the notebooks without running them; ``make notebooks`` runs them."""

import ast
import re
from pathlib import Path

import pytest
from typer.main import get_command

from pipelines.cli import app

SOURCES = sorted((Path(__file__).parents[1] / "notebooks").glob("*.py"))
LONGEST_CELL = 40  # lines of code; what is longer belongs into the library


def cells(path, kind):
    """Text of the cells of a percent script: "markdown" without its comment signs, or "code"."""
    for cell in re.split(r"(?m)^# %%", path.read_text())[1:]:
        title, _, text = cell.partition("\n")
        if ("[markdown]" in title) == (kind == "markdown"):
            yield re.sub(r"(?m)^# ?", "", text) if kind == "markdown" else text


def test_all_five_are_there():
    assert [path.name[:2] for path in SOURCES] == ["01", "02", "03", "04", "05"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_a_notebook_names_its_kernel_and_begins_with_a_title(path):
    assert re.search(r"(?m)^#   kernelspec:\n(#     .*\n)*#     name: python3$", path.read_text())
    assert next(cells(path, "markdown")).startswith("# ")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_a_notebook_is_thin_and_what_it_needs_is_in_the_library(path):
    defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    for cell in cells(path, "code"):
        assert not [node for node in ast.walk(ast.parse(cell)) if isinstance(node, defined)]
        assert len(cell.strip().splitlines()) <= LONGEST_CELL


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_every_command_that_a_notebook_tells_is_one(path):
    commands = get_command(app).commands
    for text in cells(path, "markdown"):
        for line in re.findall(r"(?m)^segclr .*$", "\n".join(re.findall(r"(?s)```\n(.*?)```", text))):
            name = line.split()[1]
            assert name in commands
            options = {option for p in commands[name].params for option in p.opts}
            if name != "classify":
                assert set(re.findall(r" (--?[a-z-]+)", line)) <= options, line


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_every_page_that_a_notebook_names_is_there(path):
    for name in re.findall(r"docs/[\w/]+\.md", path.read_text()):
        assert (path.parents[1] / name).exists(), name
