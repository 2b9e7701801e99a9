"""Read a run file: YAML 1.2 in, frozen values out, every error with its file and line.

YAML is resolved by its 1.2 core rules and a little stricter, so that class names stay what was
typed: ``no``, ``on``, ``012`` and ``12:30`` are strings. Duplicate keys and tags are errors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import ruamel.yaml
from pydantic import ValidationError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from pipeline.config import RunConfig
from pipeline.errors import ConfigError

_INT: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_CONSTANTS: Final = {"true": True, "false": False, "null": None, "~": None, "": None}
_CORE: Final = "tag:yaml.org,2002:"
_TAGS: Final = frozenset({"str", "int", "float", "bool", "null", "map", "seq", "timestamp"})
_MAX_NODES: Final = 200_000


@dataclass(frozen=True, slots=True)
class RunFile:
    """A run file that has been read and checked.

    Attributes:
        path: Where it was read from.
        config: Its values; ``images`` and ``workspace`` are absolute.
    """

    path: Path
    config: RunConfig

    @property
    def base(self) -> Path:
        """Folder that relative paths in the file refer to."""
        return self.path.parent


@dataclass(frozen=True, slots=True)
class Overrides:
    """Command line flags that replace keys; relative paths refer to the shell's folder."""

    images: tuple[Path, ...] = ()
    workspace: Path | None = None
    device: str | None = None


NO_OVERRIDES: Final = Overrides()


def load_run_file(path: Path, overrides: Overrides = NO_OVERRIDES) -> RunFile:
    """Read and check a run file.

    Raises:
        ConfigError: The file cannot be read, is not YAML, or does not fit; all faults at once.
    """
    tree, lines = _Reader(path).read()
    _apply(tree, overrides)
    try:
        # JSON mode: strict, yet lists may become tuples and strings paths.
        config = RunConfig.model_validate_json(json.dumps(tree))
    except ValidationError as error:
        raise ConfigError(_explain(path, error, lines)) from None
    return RunFile(path=path.absolute(), config=_with_absolute_paths(config, path.absolute()))


def _apply(tree: dict[str, Any], overrides: Overrides) -> None:
    if overrides.images:
        tree["images"] = [str(folder.absolute()) for folder in overrides.images]
    if overrides.workspace is not None:
        tree["workspace"] = str(overrides.workspace.absolute())
    if overrides.device is not None:
        tree["device"] = overrides.device


def _with_absolute_paths(config: RunConfig, path: Path) -> RunConfig:
    images = tuple(_absolute(folder, path.parent) for folder in config.images)
    workspace = _absolute(config.workspace, path.parent)
    for folder in images:
        if workspace == folder or folder in workspace.parents:
            message = (
                f"{path}: workspace {workspace} lies inside the image folder {folder}; its files "
                "would be found as images. Name a workspace outside of it."
            )
            raise ConfigError(message)
    models = config.models
    if models.directory is not None:
        directory = _absolute(models.directory, path.parent)
        models = models.model_copy(update={"directory": directory})
    update = {"images": images, "workspace": workspace, "models": models}
    return config.model_copy(update=update)


def _absolute(path: Path, base: Path) -> Path:
    return (base / path.expanduser()).resolve()


def _explain(path: Path, error: ValidationError, lines: Mapping[tuple[str, ...], int]) -> str:
    rows = [_explain_one(path, fault, lines) for fault in error.errors(include_url=False)]
    return "\n".join(dict.fromkeys(rows))


def _explain_one(path: Path, fault: Any, lines: Mapping[tuple[str, ...], int]) -> str:  # noqa: ANN401
    loc = _known_part(fault["loc"], lines)
    line = next((lines[loc[:n]] for n in range(len(loc), -1, -1) if loc[:n] in lines), 1)
    key = ".".join(loc) or "run file"
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        message = "unknown key"
    elif fault["type"] == "missing":
        message = "this key is required"
    elif not isinstance(fault["input"], dict | list):
        message = f"{message}, got {fault['input']!r}"
    return f"{path}:{line}: {key}: {message}"


def _known_part(loc: Sequence[str | int], lines: Mapping[tuple[str, ...], int]) -> tuple[str, ...]:
    # pydantic puts the tag of a discriminated union into the location; the file has no such key.
    known: tuple[str, ...] = ()
    for i, part in enumerate(loc):
        longer = (*known, str(part))
        if longer in lines or i == len(loc) - 1:
            known = longer
    return known


class _Reader:
    """YAML nodes → plain values, noting the line of every key."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[tuple[str, ...], int] = {}
        self.faults: list[str] = []
        self.n_nodes = 0

    def read(self) -> tuple[dict[str, Any], dict[tuple[str, ...], int]]:
        """Read the file; gives its tree, and the line of each key.

        Raises:
            ConfigError: It is no mapping, or is at fault; all faults are named.
        """
        node = self._compose()
        if not isinstance(node, MappingNode):
            raise ConfigError(f"{self.path}: expected a mapping of keys, see configs/demo.yaml")
        tree = self._mapping(node, ())
        if self.faults:
            raise ConfigError("\n".join(self.faults))
        return tree, self.lines

    def _compose(self) -> Node | None:
        try:
            text = self.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{self.path}: cannot read the run file: {error}") from None
        try:
            node: Node | None = ruamel.yaml.YAML(typ="rt", pure=True).compose(text)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 1
            raise ConfigError(f"{self.path}:{line}: not valid YAML: {error.problem}") from None
        except (YAMLError, ValueError) as error:
            raise ConfigError(f"{self.path}: not valid YAML: {error}") from None
        return node

    def _fault(self, node: Node, message: str) -> None:
        self.faults.append(f"{self.path}:{node.start_mark.line + 1}: {message}")

    def _value(self, node: Node, loc: tuple[str, ...]) -> Any:  # noqa: ANN401
        self.n_nodes += 1
        if self.n_nodes > _MAX_NODES:
            raise ConfigError(f"{self.path}: more than {_MAX_NODES} values; aliases that multiply?")
        self.lines.setdefault(loc, node.start_mark.line + 1)
        if str(node.tag).removeprefix(_CORE) not in _TAGS:
            self._fault(node, f"{'.'.join(loc)}: the tag {node.tag} is not allowed")
        if isinstance(node, MappingNode):
            return self._mapping(node, loc)
        if isinstance(node, SequenceNode):
            return [self._value(child, (*loc, str(i))) for i, child in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: MappingNode, loc: tuple[str, ...]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            if key in out:
                self._fault(key_node, f"{'.'.join((*loc, key))}: the key is there twice")
            self.lines[(*loc, key)] = key_node.start_mark.line + 1
            out[key] = self._value(value_node, (*loc, key))
        return out

    def _scalar(self, node: Node) -> str | bool | float | None:
        text = str(node.value)
        typed = str(node.tag).removeprefix(_CORE)
        if not isinstance(node, ScalarNode) or node.style in {"'", '"', "|", ">"} or typed == "str":
            return text
        if text.casefold() in _CONSTANTS and text in {text.lower(), text.title(), text.upper()}:
            return _CONSTANTS[text.casefold()]
        if _INT.fullmatch(text):
            return int(text)
        return float(text) if _FLOAT.fullmatch(text) and not _leading_zero(text) else text


def _leading_zero(text: str) -> bool:
    digits = text.lstrip("+-")
    return len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()
