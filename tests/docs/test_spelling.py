"""Commands, options and keys are spelled right in pages, docstrings, messages and comments."""

import re

import pytest

from tests.docs.blocks import find_blocks, spans
from tests.docs.commands import ROOT, argv_lines, check_command, check_mention

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
SOURCES = sorted(
    p for folder in ("segclr", "pipelines", "benchmarks", "docs/hooks") for p in (ROOT / folder).rglob("*.py")
)
CONFIGS = sorted(p for p in (ROOT / "configs").rglob("*") if p.is_file())


def mentions_in_source(text):
    """Commands in backticks or after "Example:"; a message's {fields} stand for arguments."""
    plain = re.sub(r'"\s*\n\s*f?"', "", text)  # a string that goes on in the next line
    yield from re.findall(r"`(segclr [a-z-][^`]*)`", plain)
    yield from re.findall(r"Example: (segclr [^\n\"]*)", plain)


def mentions_in_comments(text):
    end = r"(?=\s{2,}|\s+#|[`\];,:)(]|\.\s|\.$| and | to |$)"
    for line in text.splitlines():
        yield from re.findall(r"\bsegclr [a-z-].*?" + end, line.partition("#")[2])


def check_at(place, check, said):
    try:
        check(said)
    except AssertionError as error:
        error.add_note(f"{place}: {said}")
        raise


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_within_the_lines_of_a_page_are_there(page):
    for place, text in spans(page):
        if re.match(r"segclr [a-z-]", text):
            check_at(place, check_mention, text)
        elif re.match(r"(make|python|\.venv/bin/python) ", text):
            for words in argv_lines(text):
                check_at(place, check_command, words)


def test_commands_in_docstrings_and_messages_are_there():
    found = [(path, said) for path in SOURCES for said in mentions_in_source(path.read_text())]
    assert len(found) > 40
    for path, said in found:
        check_at(path, check_mention, re.sub(r"\{[^}]*\}", "X", said))


def test_commands_in_the_comments_of_configurations_are_there():
    found = [(path, said) for path in CONFIGS for said in mentions_in_comments(path.read_text())]
    assert len(found) > 15
    for path, said in found:
        check_at(path, check_mention, said)


@pytest.mark.parametrize(
    "wrong",
    [
        "segclr trian --config configs/demo.yaml",
        "segclr classify judge --config configs/demo.yaml",
        "segclr plan configs/demo.yaml --samples 3",
        "segclr plan",
        "segclr plan configs/none.yaml",
        "segclr plan configs/demo.yaml --set train.stepz=3",
        "segclr run configs/demo.yaml --cluster configs/clusters/none.yaml",
        "segclr classify fit --config configs/demo.yaml --task shape",
        "make dmeo",
        "python benchmarks/none.py",
        "python benchmarks/tissue.py --seed 3",
        "pip install 'segclr[slurn]'",
        "sbatch --array=0-3 configs/clusters/none.sbatch my.yaml",
        "rm -rf runs",
    ],
)
def test_a_wrong_command_is_refused(wrong, monkeypatch):
    monkeypatch.chdir(ROOT)
    (words,) = argv_lines(wrong)
    with pytest.raises((AssertionError, ValueError)):
        check_command(words)


def test_blocks_are_found_with_what_stands_above_them(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# Page\n\n    segclr plan a.yaml\n\n- a list\n\n    not a block\n\n<!-- not run: it is\nlong -->\n"
        "<!-- given: a, b -->\n\n"
        "```python\na + b\n```\n\ntext `segclr run x` `a`\n\n```bash\nmake demo\n```\n"
    )
    first, second, third = find_blocks(page)
    assert (first.language, first.text, first.reason) == ("bash", "segclr plan a.yaml\n", "")
    assert (second.language, second.reason, second.given) == ("python", "it is long", ("a", "b"))
    assert (third.place, third.text, third.reason) == ("page.md:19", "make demo\n", "")
    assert [text for _, text in spans(page)][-2:] == ["segclr run x", "a"]
