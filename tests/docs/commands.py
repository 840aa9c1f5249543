"""Commands as a page writes them, held against the command line, the Makefile and the benchmarks."""

from __future__ import annotations

import ast
import functools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from docs.hooks.configuration import keys
from pipelines.cli import app
from segclr.config import RunConfig, load_config

__all__ = ["ROOT", "argv_lines", "check_command", "check_mention"]

ROOT = Path(__file__).resolve().parents[2]


def argv_lines(text: str) -> Iterator[list[str]]:
    """The words of each command of a bash block; a line that ends with a backslash goes on in the next."""
    for line in text.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield words


def check_command(words: list[str]) -> None:
    """Hold a command against what there is: names, options, arguments, keys of --set, configurations.

    Paths are seen from the working folder.

    Raises:
        AssertionError: it would be refused; the message says why.
    """
    program = words[0].rsplit("/", 1)[-1]
    if program == "segclr":
        _check_segclr(words)
    elif program == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(words[1:]) <= set(targets), f"make has {targets}, not {words[1:]}"
    elif program == "python":
        _check_script(words[1:])
    elif program == "sbatch":
        assert (ROOT / words[2]).exists(), f"there is no {words[2]}"
    elif program == "kubectl":
        files = [words[words.index("-f") + 1]] if "-f" in words else []
        assert all((ROOT / file).exists() for file in files), f"there is none of {files}"
    elif program == "pip":
        extras = re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
        assert set(re.findall(r"\[(\w+)\]", " ".join(words))) <= set(extras), f"extras are {extras}"
    else:
        raise AssertionError(
            f"nothing is known of {program}: give the block another language, or check it here"
        )


def check_mention(text: str) -> None:
    """Hold the name of a command and its options against the command line; arguments may be left out.

    ``segclr status|validate`` are two.

    Raises:
        AssertionError: there is no such command, option or key of --set.
    """
    if choice := re.search(r"([\w-]+)\|(.*)", text):
        check_mention(text[: choice.start(1)] + choice[2])
        text = text[: choice.end(1)] + re.sub(r"^[\w|-]+", "", choice[2])
    command, rest = _walk(text.split())
    placeholder = bool(rest) and rest[0].isupper()  # segclr COMMAND --help
    if hasattr(command, "commands") and rest and not placeholder:
        assert rest[0].startswith("-"), f"{text!r}: there is no command {rest[0]!r}"
    options = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help", "--debug"}
    used = {word.partition("=")[0] for word in rest if re.match("--?[a-z]", word)}
    assert placeholder or used <= options, f"{text!r}: there is no option {', '.join(sorted(used - options))}"
    for key in re.findall(r"--set (\w[\w.]*)=", text):
        assert key == "key" or key in _keys(), f"{text!r}: there is no key {key}"


@functools.cache
def _keys() -> frozenset[str]:
    return frozenset(keys(RunConfig))


def _walk(words: list[str]) -> tuple[Any, list[str]]:
    """The command that the first words name, and the words after them."""
    command, rest = get_command(app), words[1:]
    while rest and rest[0] in getattr(command, "commands", {}):
        command, rest = command.commands[rest[0]], rest[1:]
    return command, rest


def _check_segclr(words: list[str]) -> None:
    check_mention(shlex.join(words))
    command, rest = _walk(words)
    try:
        parameters = command.make_context(words[0], list(rest)).params
    except Exception as error:
        raise AssertionError(f"{shlex.join(words)}: {error}") from error
    if config := parameters.get("config"):
        load_config(config, [*(parameters.get("set_") or [])])
    cluster = parameters.get("cluster") or ""
    assert not cluster.endswith(".yaml") or Path(cluster).exists(), f"there is no {cluster}"


def _check_script(words: list[str]) -> None:
    if words[0] == "-m":
        module = ROOT / f"{words[1].replace('.', '/')}.py"
        assert module.exists(), f"there is no {module}"
        return
    script = ROOT / words[0]
    assert script.exists(), f"there is no {words[0]}"
    calls = [n for n in ast.walk(ast.parse(script.read_text())) if isinstance(n, ast.Call)]
    added = [c for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr == "add_argument"]
    options = {a.value for c in added for a in c.args if isinstance(a, ast.Constant)}
    used = {w for w in words[1:] if w.startswith("--")}
    assert used <= options, f"{words[0]} has {sorted(options)}, not {sorted(used - options)}"
