"""Docstrings as Markdown: doctests become code, roles such as ``:data:`` go."""

from __future__ import annotations

import re
from typing import Any

import griffe

__all__ = ["DocstringText", "as_markdown"]

_ROLE = re.compile(r":(?:data|func|class|meth|mod|attr):`~?([^`]+)`")
_DOCTEST = re.compile(r"^( *)>>> .*(?:\n\1\S.*)*", re.MULTILINE)
"""From a prompt to the next empty line or lesser indent, as doctest itself reads it."""


class DocstringText(griffe.Extension):
    """Rewrites every docstring when it is read."""

    def on_object(self, *, obj: griffe.Object, **_kwargs: Any) -> None:
        """Of one module, class, function or attribute."""
        obj.members.pop("__post_init__", None)  # what it refuses stands under Raises of its class
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    """A docstring whose doctests stand in fences."""
    text = _ROLE.sub(r"`\1`", text)
    return _DOCTEST.sub(lambda match: f"{match[1]}```pycon\n{match[0]}\n{match[1]}```", text)
