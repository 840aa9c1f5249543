"""Reading a configuration from YAML, with ``--set`` overrides."""

from __future__ import annotations

from typing import Any

import yaml
from pydantic import ValidationError

from segclr import files
from segclr.config.run import RunConfig
from segclr.errors import ConfigError, MissingDataError

__all__ = ["load_config", "load_tree"]


class _Loader(yaml.SafeLoader):
    """Refuses a key that comes twice, where YAML's own loader silently takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                msg = f"line {key_node.start_mark.line + 1}: the key {key} comes twice"
                raise ConfigError(msg)
            seen.add(key)
        return super().construct_mapping(node, deep)


def load_tree(url: str) -> dict[str, Any]:
    """The keys and values of a YAML file.

    Raises:
        ConfigError: there is no such file, it is not YAML, or a key is given twice.
    """
    try:
        tree = yaml.load(files.read_bytes(url), Loader=_Loader)
    except (MissingDataError, IsADirectoryError) as error:
        msg = f"there is no configuration file {url!r}"
        raise ConfigError(msg) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        msg = f"{url} is not YAML: {error}"
        raise ConfigError(msg) from error
    except ConfigError as error:
        msg = f"{url}, {error}"
        raise ConfigError(msg) from error
    if not isinstance(tree, dict):
        msg = f"{url} must hold keys and values, got {type(tree).__name__}"
        raise ConfigError(msg)
    return tree


def load_config(url: str, overrides: list[str] | None = None) -> RunConfig:
    """Read a YAML configuration; ``overrides`` are ``section.key=value`` with the value in YAML.

    Raises:
        ConfigError: there is no such file, it is not YAML, it is a run's own record, or a key is unknown,
            missing, given twice or out of range.
    """
    tree = load_tree(url)
    if tree.keys() >= {"segclr_version", "config", "digest"}:
        msg = (
            f"{url} is the record of a run: give the YAML file that it was started with, or a file with what "
            f"stands here under `config`, and `run: {url.rpartition('/')[0] or '.'}`"
        )
        raise ConfigError(msg)
    for override in overrides or []:
        _override(tree, override)
    try:
        return RunConfig.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(_readable(url, error)) from error


def _override(tree: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        msg = f"--set takes key=value, such as train.steps=200; got {override!r}"
        raise ConfigError(msg)
    *sections, key = path.split(".")
    for section in sections:
        below: Any = tree.get(section)
        if below is None:
            below = tree[section] = {}
        if not isinstance(below, dict):
            msg = f"--set {override!r}: {section} is a value, not a section"
            raise ConfigError(msg)
        tree = below
    try:
        tree[key] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        msg = f"--set {override!r}: the value is not YAML"
        raise ConfigError(msg) from error


def _readable(url: str, error: ValidationError) -> str:
    lines = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"]) or "the configuration"
        if item["type"] == "extra_forbidden":
            lines.append(f"{key}: unknown key")
        else:
            received = "" if item["type"] in ("missing", "value_error") else f", got {item['input']!r}"
            lines.append(f"{key}: {item['msg'].removeprefix('Value error, ')}{received}")
    return f"{url}: " + "; ".join(lines)
