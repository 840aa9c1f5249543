"""The page of all keys of a configuration, from the models themselves."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from docs.hooks.markdown import cell, table
from segclr.config import RunConfig
from segclr.config.section import FREE, Section

__all__ = ["configuration_page", "keys"]

_HEAD = """# Configuration

Every key of a run's YAML, with its values, its default and what it means; made from the models in
`segclr/config/`. Units stand in the keys' names, points and sizes are (x, y, z). `--set
section.key=value` sets any of them from the command line, and the resolved configuration is kept as
`run.yaml` in the run's folder. An unknown key is an error.

Keys with a star decide nothing in what a stage writes, or are read by the last stages alone: a run may go
on with another value. Any other difference is refused, with the keys named ([restarts](../restart.md)).

"""


def keys(model: type[Section], above: str = "") -> Iterator[str]:
    """Dotted names of all keys of a model and its sections."""
    for name, field in model.model_fields.items():
        yield f"{above}{name}"
        if section := _section_of(field):
            yield from keys(section, f"{above}{name}.")


def configuration_page() -> str:
    """Every section and key."""
    return _HEAD + "\n".join(_tables(RunConfig, "", ""))


def _tables(model: type[Section], path: str, about: str) -> Iterator[str]:
    sections = {n: s for n, f in model.model_fields.items() if (s := _section_of(f))}
    rows = [_row(name, field) for name, field in model.model_fields.items() if name not in sections]
    title = f"## {path}" if path else "## At the top"
    intro = " ".join((model.__doc__ or "").split("\n\n")[0].split()) if path else ""
    yield f"{title}\n\n{cell(f'{intro} {about}')}\n\n" + table(("key", "values", "default", "meaning"), rows)
    for name, section in sections.items():
        field = model.model_fields[name]
        absent = "Absent by default." if field.default is None else ""
        said = f"{field.description[0].upper()}{field.description[1:]}." if field.description else ""
        yield from _tables(section, f"{path}.{name}".lstrip("."), f"{said} {absent}")


def _row(name: str, field: FieldInfo) -> tuple[str, str, str, str]:
    star = " *" if any(mark is FREE for mark in field.metadata) else ""
    default = "required" if field.is_required() else f"`{_plain(field.default)}`"
    values = " ".join([_values(field.annotation), *_limits(field.metadata)])
    return f"`{name}`{star}".replace(" *", " \\*"), cell(values), cell(default), cell(field.description or "")


def _plain(value: Any) -> str:
    return json.dumps(value) if not isinstance(value, str) else value


def _section_of(field: FieldInfo) -> type[Section] | None:
    kinds = (field.annotation, *get_args(field.annotation))
    return next((k for k in kinds if isinstance(k, type) and issubclass(k, Section)), None)


def _values(kind: Any) -> str:
    """A type in the words of a YAML file."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return ", ".join(map(str, inner))
    if origin in (Union, types.UnionType):
        return " or ".join(_values(k) for k in inner)
    if origin is tuple and len(inner) == 2 and inner[1] is Ellipsis:
        return f"list of {_values(inner[0])}"
    if origin is tuple:
        kinds = [_values(k) for k in inner]
        return f"{len(kinds)} x {kinds[0]}" if len(set(kinds)) == 1 else f"[{', '.join(kinds)}]"
    if origin is dict:
        return f"{_values(inner[0])}: {_values(inner[1])}"
    if hasattr(kind, "__metadata__"):  # Annotated
        return " ".join([_values(kind.__origin__), *_limits(_flat(kind.__metadata__))])
    names = {int: "whole number", float: "number", str: "text", bool: "true, false", type(None): "null"}
    return names.get(kind, getattr(kind, "__name__", str(kind)))


def _flat(metadata: tuple[Any, ...]) -> list[Any]:
    return [m for mark in metadata for m in (mark.metadata if isinstance(mark, FieldInfo) else [mark])]


def _limits(metadata: list[Any]) -> list[str]:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    return [
        f"{sign} {getattr(mark, name):.10g}"
        for mark in metadata
        for name, sign in signs.items()
        if getattr(mark, name, None) is not None
    ]
