"""YAML files of facts, read strictly: where each key stands is kept, so that an error can say the line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

LARGEST = 200_000
"""Bytes."""
Path_ = tuple[str | int, ...]
Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class BadFile(ValueError):
    """`problems`: one line each, `file:line: key: what is wrong`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class File:
    """One file as it was read. `lines` says where each key stands, counted from 1."""

    shown: str
    found: dict[str, Any]
    lines: Mapping[Path_, int] = field(repr=False)

    def problem(self, key: Path_, words: str) -> str:
        """`file:line: key: words`. A key that stands elsewhere (in what the file extends) is shown at the nearest that does."""
        at = key
        while at and at not in self.lines:
            at = at[:-1]
        named = ".".join(str(one) for one in key)
        return f"{self.shown}:{self.lines.get(at, 1)}: {named + ': ' if named else ''}{words}"

    def problems(self, error: ValidationError) -> list[str]:
        found = [(_key(one["loc"]), _words(one)) for one in error.errors(include_url=False, include_input=False)]
        return [self.problem(key, words) if key else self._of_whole(words) for key, words in found]

    def _of_whole(self, words: str) -> str:
        """What is wrong with the entry as a whole names the key it is about at its beginning."""
        key, colon, rest = words.partition(": ")
        named = tuple(key.split("."))
        return self.problem(named, rest) if colon and named[:1] in self.lines else self.problem((), words)


def read(path: Path) -> File:
    """Raises BadFile. Aliases are refused (a small file can mean a huge document), and so is a key given twice."""
    shown = "/".join(path.parts[-3:])
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8")
        if len(raw) > LARGEST:
            raise BadFile([f"{shown}:1: the file is larger than {LARGEST} bytes"])
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=Loader)):
            raise BadFile([f"{shown}:1: aliases (`*name`) are not read here: write it out"])
        node = yaml.compose(text, Loader=Loader)
    except UnicodeDecodeError as error:
        raise BadFile([f"{shown}:1: the file is not UTF-8"]) from error
    except OSError as error:
        raise BadFile([f"{shown}:1: the file cannot be read: {error.strerror}"]) from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BadFile([f"{shown}:{line}: not YAML: {error.problem}"]) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise BadFile([f"{shown}:1: not YAML"]) from error
    if not isinstance(node, yaml.MappingNode):
        raise BadFile([f"{shown}:1: a mapping of facts is expected, beginning with `title:`"])
    lines: dict[Path_, int] = {(): 1}
    found = _plain(node, (), lines, shown)
    return File(shown, found, lines)


def _plain(node: Any, at: Path_, lines: dict[Path_, int], shown: str) -> Any:
    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, at, lines, shown)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(one, (*at, index), lines, shown) for index, one in enumerate(node.value)]
    try:
        return _scalar(node)
    except (ValueError, yaml.YAMLError) as error:
        raise BadFile([f"{shown}:{node.start_mark.line + 1}: {'.'.join(map(str, at))}: cannot be read"]) from error


def _mapping(node: yaml.MappingNode, at: Path_, lines: dict[Path_, int], shown: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
            raise BadFile([f"{shown}:{line}: a plain key is expected"])
        here = (*at, key.value)
        if key.value in found:
            raise BadFile([f"{shown}:{line}: {'.'.join(map(str, here))}: given twice"])
        lines[here] = line
        found[key.value] = _plain(value, here, lines, shown)
    return found


def _scalar(node: yaml.ScalarNode) -> Any:
    """Texts, numbers, true and false, nothing: what a fact is made of. A date or a fraction stays the text that was written."""
    kind = node.tag.rpartition(":")[2]
    if kind == "int":
        return int(node.value.replace("_", ""))
    if kind == "bool":
        return node.value.lower() in ("true", "yes", "on")
    return None if kind == "null" else node.value


def _key(loc: tuple[int | str, ...]) -> Path_:
    return tuple(one for one in loc if one != "[key]")


WORDS = {
    "extra_forbidden": "this key is not known here",
    "missing": "missing",
    "string_type": "a text is expected",
    "string_too_short": "too short",
    "dict_type": "a mapping is expected",
    "tuple_type": "a list is expected",
    "model_type": "a mapping is expected",
    "bool_type": "true or false is expected",
    "bool_parsing": "true or false is expected",
    "int_type": "a number is expected",
    "int_parsing": "a number is expected",
}


def _words(error: Any) -> str:
    if error["type"] == "literal_error":
        return f"one of {error['ctx']['expected']} is expected".replace("'", "")
    return WORDS.get(error["type"]) or str(error["msg"]).removeprefix("Value error, ")
