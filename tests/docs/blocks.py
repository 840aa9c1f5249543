"""Code blocks of a page in Markdown, and what the page says of them right above."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Block", "find_blocks", "spans"]

_COMMENT = re.compile(r"<!--\s*(not run|given):\s*(.*?)\s*-->", re.DOTALL)
_COMMAND = re.compile(r"(segclr|make|python|\.venv/bin/python|pip|sbatch|kubectl) ")


@dataclass(frozen=True)
class Block:
    """A code block.

    Attributes:
        place: page and line, for messages.
        language: of the fence; of an indented block bash, if it begins with a command, or text.
        text: without fence and indent.
        reason: why it is not run, from a comment ``not run`` right above; "" where there is none.
        given: names that the reader has, from a comment ``given``.
    """

    place: str
    language: str
    text: str
    reason: str = ""
    given: tuple[str, ...] = ()


def find_blocks(page: Path) -> Iterator[Block]:
    """All blocks of a page, fenced or indented by four after an empty line, in their order."""
    lines = page.read_text().splitlines()
    number = 0
    while number < len(lines):
        fence = re.match(r"( *)```+(\S*)", lines[number])
        start = number
        if fence:
            number = next(i for i in range(start + 1, len(lines)) if lines[i].startswith(f"{fence[1]}```"))
            inside = [line.removeprefix(fence[1]) for line in lines[start + 1 : number]]
            yield _block(page, lines, start, fence[2] or "unnamed", inside)
        elif _begins_indented(lines, start):
            while number + 1 < len(lines) and (lines[number + 1].startswith("    ") or not lines[number + 1]):
                number += 1
            inside = [line[4:] for line in lines[start : number + 1]]
            yield _block(page, lines, start, "bash" if _COMMAND.match(inside[0]) else "text", inside)
        number += 1


def spans(page: Path) -> Iterator[tuple[str, str]]:
    """Place and text of all code within lines, blocks left out."""
    text = re.sub(r"^ *```.*?^ *```", lambda m: "\n" * m[0].count("\n"), page.read_text(), flags=re.M | re.S)
    for match in re.finditer(r"(?<!`)`([^`]+)`(?!`)", text):
        yield f"{page.name}:{text[: match.start()].count(chr(10)) + 1}", " ".join(match[1].split())


def _begins_indented(lines: list[str], number: int) -> bool:
    before = [line for line in lines[:number] if line.strip()]
    in_list = bool(before) and re.match(r"\s*([-*]|\d+\.) |    ", before[-1]) is not None
    after_empty = number == 0 or not lines[number - 1].strip()
    return lines[number].startswith("    ") and after_empty and not in_list


def _block(page: Path, lines: list[str], start: int, language: str, inside: list[str]) -> Block:
    said = _above(lines[:start])
    given = tuple(name.strip() for name in said.get("given", "").split(",") if name.strip())
    text = "\n".join(inside).rstrip() + "\n"
    return Block(f"{page.name}:{start + 1}", language, text, said.get("not run", ""), given)


def _above(lines: list[str]) -> dict[str, str]:
    """What comments right above say, nothing but empty lines between."""
    text = "\n".join(lines).rstrip()
    said = {}
    while text.endswith("-->"):
        text, comment = text[: text.rindex("<!--")].rstrip(), text[text.rindex("<!--") :]
        if match := _COMMENT.fullmatch(comment):
            said[match[1]] = " ".join(match[2].split())
    return said
