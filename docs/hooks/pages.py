"""The hook of mkdocs: adds the pages that are made, refuses a site that would load from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import jupytext
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

from docs.hooks.command_line import command_line_page
from docs.hooks.configuration import configuration_page
from docs.hooks.measured import measured_page
from pipelines.cli import app

__all__ = ["external_assets", "made_pages", "on_files", "on_post_build"]

_ROOT = Path(__file__).resolve().parents[2]
_ASSET = re.compile(
    r"""<(?:script|img|iframe|source|audio|video|embed)\b[^>]*?\bsrc=["']?((?:https?:)?//[^"'\s>]+)"""
    r"""|<link\b(?![^>]*\brel=["']?(?:canonical|next|prev|author|license)\b)[^>]*?\bhref=["']?((?:https?:)?//[^"'\s>]+)"""
    r"""|(?:url\(|@import\s+)["']?((?:https?:)?//[^"')\s]+)""",
    re.IGNORECASE,
)


def made_pages() -> Iterator[tuple[str, str]]:
    """Path below docs/ and text of every page that is made."""
    yield "reference/command_line.md", command_line_page(app)
    yield "reference/configuration.md", configuration_page()
    yield "measured.md", measured_page(_ROOT / "benchmarks")
    yield "changes.md", (_ROOT / "CHANGELOG.md").read_text()
    for script in sorted((_ROOT / "notebooks").glob("[0-9][0-9]_*.py")):
        yield f"notebooks/{script.stem}.md", jupytext.writes(jupytext.read(script), fmt="md")


def external_assets(text: str) -> list[str]:
    """Addresses that a browser would fetch from elsewhere to show a page or a style sheet; links are none.

    >>> external_assets('<a href="https://a.org">a</a> <script src="https://b.org/b.js"></script>')
    ['https://b.org/b.js']
    """
    return [next(filter(None, match.groups())) for match in _ASSET.finditer(text)]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    for path, text in made_pages():
        files.append(File.generated(config, path, content=text))
    return files


def on_post_build(config: MkDocsConfig) -> None:
    """Refuse a site that would load anything from elsewhere.

    Raises:
        PluginError: it would.
    """
    site = Path(config.site_dir)
    pages = [path for kind in ("html", "css") for path in site.rglob(f"*.{kind}")]
    found = {url: path for path in pages for url in external_assets(path.read_text())}
    if found:
        msg = f"the site would load from elsewhere: {', '.join(f'{u} in {p.name}' for u, p in found.items())}"
        raise PluginError(msg)
