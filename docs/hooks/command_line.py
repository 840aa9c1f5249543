"""The page of all commands, from the command line itself."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import typer.main

from docs.hooks.markdown import cell, table

__all__ = ["command_line_page", "commands"]

_HEAD = """# Command line

Made from the commands themselves: `segclr COMMAND --help` says the same. Every key that `--set` takes
stands in [Configuration](configuration.md).

"""


def commands(app: typer.Typer) -> Iterator[tuple[str, Any]]:
    """Name and command of the application itself and of all below it, such as ``segclr classify fit``."""
    root = typer.main.get_command(app)
    yield from _below(str(root.name), root)


def _below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield name, command
    for below, inner in getattr(command, "commands", {}).items():
        yield from _below(f"{name} {below}", inner)


def command_line_page(app: typer.Typer) -> str:
    """Every command with its help, an example, and its arguments and options."""
    return _HEAD + "\n".join(_section(name, command) for name, command in commands(app))


def _section(name: str, command: Any) -> str:
    help_, _, example = inspect.cleandoc(command.help or "").partition("Example: ")
    text = f"## {name}\n\n{_escaped(help_).strip()}\n\n"
    if example:
        text += f"```bash\n{' '.join(example.split())}\n```\n\n"
    rows = [_row(parameter) for parameter in command.params if not parameter.hidden]
    if inner := getattr(command, "commands", None):
        links = (f"[{below}](#{name.replace(' ', '-')}-{below})" for below in inner)
        text += f"Commands: {', '.join(links)}.\n\n"
    return text + (table(("", "default", "meaning"), rows) if rows else "")


def _row(parameter: Any) -> tuple[str, str, str]:
    is_option = str(parameter.opts[0]).startswith("-")
    names = ", ".join(f"`{o}`" for o in (*parameter.opts, *parameter.secondary_opts))
    if not is_option:
        names = f"`{(parameter.metavar or parameter.name).upper()}`"
    if parameter.required:
        default = "required"
    elif parameter.default in (None, False):
        default = ""
    else:
        value = parameter.default
        default = f"`{' '.join(map(str, value)) if isinstance(value, tuple) else value}`"
    return names, default, cell(parameter.help or "")


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;")
