"""Links within the repository lead somewhere. Those within docs/ are held by mkdocs itself (`make docs`)."""

import re
from pathlib import Path

import pytest

from tests.docs.commands import ROOT

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
SOURCES = sorted(
    path
    for folder in ("segclr", "pipelines", "benchmarks", "configs", "tests", ".ci")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".py", ".yaml", ".sbatch", ".md")
)


def anchors(page: Path) -> set[str]:
    """What the headings of a page can be linked by."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def lost(page: Path) -> list[str]:
    """Relative links of a page that lead nowhere."""
    found = []
    for link in re.findall(r"\]\((?!https?:|mailto:)([^)\s]*)\)", page.read_text()):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_relative_links_lead_somewhere(page):
    assert lost(page) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A title\n\n[a](none.md) [b](#a-title) [c](#none) [d](page.md#none) [e](https://x.org/none)\n"
    )
    assert lost(page) == ["none.md", "#none", "page.md#none"]


def test_pages_that_sources_name_are_there():
    named = {
        (path, name)
        for path in [*SOURCES, *PAGES]
        for name in re.findall(r"\bdocs/[\w/]+\.md\b", path.read_text())
    }
    assert len(named) > 30
    assert [(str(path), name) for path, name in sorted(named) if not (ROOT / name).exists()] == []
