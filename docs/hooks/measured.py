"""The page of results, from the files that the benchmarks wrote."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from docs.hooks.markdown import cell, table

__all__ = ["measured_page", "tables_of"]

_HEAD = """# Results

Made from `benchmarks/results/*.json` when the site is built: every number was written by the script that
is named above it, on the machine that is named with it. Read ratios within a table; seconds are those of
a shared machine.

"""
_FOLDED = 20
"""Rows of a table above which it is folded."""

Row = dict[str, Any]


def measured_page(benchmarks: Path) -> str:
    """A section for each file of results, in alphabetical order.

    Args:
        benchmarks: folder of the scripts, with the folder ``results`` in it.
    """
    paths = sorted((benchmarks / "results").glob("*.json"))
    return _HEAD + "\n".join(_section(benchmarks, path) for path in paths)


def _section(benchmarks: Path, path: Path) -> str:
    name, _, which = path.stem.partition(".")  # such as encoder_speed.2_threads
    script = benchmarks / f"{name}.py"
    about = ast.get_docstring(ast.parse(script.read_text())) if script.exists() else None
    made = f"{cell(about.splitlines()[0])}\n\n`python benchmarks/{script.name}`\n\n" if about else ""
    title = _words(name).capitalize() + (f" ({_words(which)})" if which else "")
    return f"## {title}\n\n{made}" + "\n".join(tables_of(json.loads(path.read_text())))


def tables_of(tree: Any, title: str = "") -> Iterator[str]:
    """Tables in Markdown that hold every value of a tree of JSON.

    What stands alone in a mapping goes into a table of two columns; neighbours of much the same keys, and the
    rows of a list, into one table, its longer side downwards. All else is gone into.
    """
    if isinstance(tree, list):
        yield from _of_list([dict(_flat(row)) for row in tree], title)
        return
    alone = {key: value for key, value in tree.items() if _is_leaf(value)}
    inner = {key: value for key, value in tree.items() if not _is_leaf(value)}
    if alone:
        yield _titled(title, ["", ""], [[_words(k), _text(v)] for k, v in alone.items()])
    rows = {key: dict(_flat(value)) for key, value in inner.items() if _is_row(value)}
    for group in _alike(rows):
        if len(group) > 1:
            yield _matrix({key: rows.pop(key) for key in group}, title)
    for key, value in inner.items():
        if key in rows or not _is_row(value):
            yield from tables_of(value, _joined(title, key))


def _is_leaf(value: Any) -> bool:
    """A number, a word, or a list of them."""
    if isinstance(value, list):
        return all(_is_leaf(v) for v in value)
    return not isinstance(value, Mapping)


def _is_row(value: Any) -> bool:
    """A mapping with values of its own and no list of rows below."""
    if not isinstance(value, Mapping) or not any(map(_is_leaf, value.values())):
        return False
    return all(_is_leaf(leaf) for _, leaf in _flat(value))


def _flat(row: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Keys and values, those of mappings below with both keys."""
    for key, value in row.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}: ")
        else:
            yield f"{above}{key}", value


def _alike(rows: Mapping[str, Row]) -> list[list[str]]:
    """Keys of rows, those together that share at least half of their columns with the first."""
    groups: list[list[str]] = []
    for key, row in rows.items():
        for group in groups:
            first = rows[group[0]].keys()
            if 2 * len(first & row.keys()) >= len(first | row.keys()):
                group.append(key)
                break
        else:
            groups.append([key])
    return groups


def _matrix(rows: Mapping[str, Row], title: str) -> str:
    columns = _columns(list(rows.values()))
    if len(rows) >= len(columns):
        cells = [[_words(name), *(_text(row.get(c)) for c in columns)] for name, row in rows.items()]
        return _titled(title, ["", *map(_words, columns)], cells)
    cells = [[_words(c), *(_text(row.get(c)) for row in rows.values())] for c in columns]
    return _titled(title, ["", *map(_words, rows)], cells)


def _of_list(rows: list[Row], title: str) -> Iterator[str]:
    below = [c for c in _columns(rows) if any(not _is_leaf(row.get(c)) for row in rows)]
    columns = [c for c in _columns(rows) if c not in below]
    if len(columns) > max(len(rows), 6):
        first, *others = columns
        cells = [[_words(c), *(_text(row.get(c)) for row in rows)] for c in others]
        yield _titled(title, [_words(first), *(_text(row.get(first)) for row in rows)], cells)
    else:
        yield _titled(title, [*map(_words, columns)], [[_text(row.get(c)) for c in columns] for row in rows])
    for column in below:
        nested = [_leading(row) | inner for row in rows for inner in row.get(column, [])]
        yield from tables_of(nested, _joined(title, column))


def _leading(row: Row) -> Row:
    """What tells a row from the others: its values before the first measured one."""
    values = list(row.items())
    measured = (i for i, (_, value) in enumerate(values) if isinstance(value, float))
    return dict(values[: next(measured, 1)])


def _columns(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(column for row in rows for column in row))


def _titled(title: str, header: Sequence[str], rows: list[list[str]]) -> str:
    text = table(header, rows)
    if len(rows) > _FOLDED:
        summary = title or f"{len(rows)} rows"
        return f'<details markdown="1"><summary>{cell(summary)}</summary>\n\n{text}\n</details>\n'
    return f"**{cell(title)}**\n\n{text}" if title else text


def _joined(title: str, key: str) -> str:
    return f"{title}, {_words(key)}" if title else _words(key)


def _words(key: Any) -> str:
    return cell(str(key).replace("_", " "))


def _text(value: Any) -> str:
    """A value as a cell: four digits of what is not whole.

    >>> _text(0.579627), _text(10496), _text(True), _text([1, 2.5]), _text(None)
    ('0.5796', '10,496', 'yes', '1, 2.5', '')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_text(v) or "none" for v in value)
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else cell(str(value))
