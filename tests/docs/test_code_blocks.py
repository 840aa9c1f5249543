"""Every code block of README.md and docs/ runs here, or says right above why not.

A block that is not run is still held against what there is: commands against the command line and the
configurations they name, YAML against the configuration, Python against its grammar.
"""

import ast
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

import segclr
from pipelines.cli import app
from segclr.classify import Labels
from segclr.config import RunConfig
from tests.docs.blocks import Block, find_blocks
from tests.docs.commands import ROOT, argv_lines, check_command

PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "reference").glob("*.md")),
]
PLAIN = ("text",)
"""Languages of what is neither code nor command."""


@pytest.fixture
def stand_ins(prepared):
    """What a page may say that its reader has, by ``<!-- given: NAME -->``."""

    def names(*wanted):
        table = segclr.open_embeddings(str(prepared / "runs/demo/embeddings")).read_all()
        mine = segclr.open_embeddings(str(prepared / "runs/mine/embeddings")).read_all()
        ids = np.unique(table.segment_ids)
        classes = np.where(np.arange(len(ids)) % 2, "axon", "dendrite")
        config = json.loads((prepared / "runs/demo/encoder/config.json").read_text())
        of_node = dict(zip(ids.tolist(), classes, strict=True))
        have = {
            "X": table.embeddings,
            "X_new": table.embeddings[:5],
            "centers_nm": mine.points_nm[:2],
            "cubes": np.zeros((2, 25, 25, 25), np.uint8),
            "digest": config["digest"],
            "labels": Labels(segment_ids=ids, classes=classes),
            "segment_ids": table.segment_ids if "X" in wanted else mine.segment_ids[:2],
            "stored_cubes": torch.full((4, 133, 133, 133), 9, dtype=torch.uint8),
            "table": table,
            "y": np.array([of_node[i] for i in table.segment_ids.tolist()]),
        }
        return {name: have[name] for name in wanted}

    return names


def run_command(words: list[str]) -> None:
    assert words[0] == "segclr", (
        f"{words[0]} is not run here: say why above the block (<!-- not run: ... -->)"
    )
    result = CliRunner().invoke(app, words[1:], catch_exceptions=False)
    assert result.exit_code == 0, result.output


def check_yaml(text: str) -> None:
    """A section alone is held against the configuration with the least that a run needs around it.

    A first line such as ``# my.yaml`` names a file that the page's commands use; the tests' own go first.
    """
    if (name := re.match(r"# (\w+\.yaml)\n", text)) and not Path(name[1]).exists():
        Path(name[1]).write_text(text)
    least = {
        "name": "n",
        "run": "runs/n",
        "volume": {"segmentation": "precomputed://s", "voxel_size_nm": [1, 1, 1]},
    }
    RunConfig.model_validate(least | yaml.safe_load(text))


def do(block: Block, namespace: dict, stand_ins) -> None:
    if block.language in PLAIN:
        return
    assert block.language in ("bash", "python", "yaml"), "bash, python, yaml or text: which is it?"
    if block.language == "yaml":
        check_yaml(block.text)
    elif block.language == "python":
        code = compile(ast.parse(block.text), block.place, "exec")
        if not block.reason:
            namespace |= stand_ins(*block.given)
            exec(code, namespace)
    else:
        for words in argv_lines(block.text):
            check_command(words)
            if not block.reason:
                run_command(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_runs_or_says_why_not(page, prepared, stand_ins, monkeypatch):
    monkeypatch.chdir(prepared)
    namespace = {"__name__": "page"}
    for block in find_blocks(page):
        try:
            do(block, namespace, stand_ins)
        except Exception as error:
            error.add_note(f"{block.place}, a block of {block.language}:\n{block.text}")
            raise


@pytest.mark.parametrize(
    ("above", "language", "text"),
    [
        ("", "bash", "make demo"),
        ("", "bash", "segclr status none"),
        ("<!-- not run: long -->", "bash", "segclr plan configs/demo.yaml --nonsense"),
        ("<!-- not run: long -->", "bash", "curl https://example.org"),
        ("", "python", "1 / 0"),
        ("", "python", "X.mean()"),
        ("<!-- not run: long -->", "python", "def f(:"),
        ("", "yaml", "train: {stepz: 3}"),
        ("", "", "who knows"),
    ],
)
def test_a_block_that_fails_is_told_and_a_reason_excuses_no_mistake(
    above, language, text, tmp_path, stand_ins, monkeypatch
):
    monkeypatch.chdir(ROOT)
    page = tmp_path / "page.md"
    page.write_text(f"{above}\n\n```{language}\n{text}\n```\n")
    (block,) = find_blocks(page)
    with pytest.raises(Exception):  # noqa: B017
        do(block, {}, stand_ins)


def test_a_reason_excuses_a_block_and_given_names_are_there(tmp_path, stand_ins):
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- not run: minutes -->\n\n```bash\nmake demo\n```\n\n"
        "<!-- given: X -->\n```python\nX.mean()\n```\n"
    )
    for block in find_blocks(page):
        do(block, {}, stand_ins)
