"""The form in which an approver proposes other arguments: a field for each, by the pinned schema; read strictly. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from webapp.canonical import Limits, canonical, number_text, parse
from webapp.errors import BadInput, one_of_ours, said

Kind = Literal["text", "number", "boolean", "choice", "json"]

MOST = 60
ONE = Limits(bytes=20_000, depth=16, values=2000)
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
"""RFC 8259 section 6."""


@dataclass(frozen=True)
class Field:
    """One argument. `name` is the form's, `argument` the call's; `text` is its value as it stands in the field."""

    name: str
    argument: str
    kind: Kind
    text: str
    required: bool
    given: bool
    choices: tuple[str, ...] = ()

    @property
    def long(self) -> bool:
        return self.kind == "json" or len(self.text) > 80 or "\n" in self.text


def fields(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> tuple[Field, ...]:
    """In the schema's order; what was sent and is not in it comes last. Raises BadInput where a form would be too long."""
    found = schema.get("properties")
    properties: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    required = schema.get("required")
    needed = set(required) if isinstance(required, list) else set()
    names = [*properties, *(name for name in arguments if name not in properties)]
    if len(names) > MOST:
        raise BadInput("This call has too many arguments to be changed here. Reject it with a reason instead.")
    return tuple(
        _field(f"a{at}", name, properties.get(name), arguments, name in needed) for at, name in enumerate(names)
    )


def _field(name: str, argument: str, schema: Any, arguments: Mapping[str, Any], required: bool) -> Field:
    given, value = argument in arguments, arguments.get(argument)
    kind, choices = _kind(schema, value if given else None)
    return Field(name, argument, kind, _text(kind, value) if given else "", required, given, choices)


def _kind(schema: Any, value: Any) -> tuple[Kind, tuple[str, ...]]:
    """A simple field only where schema and value agree on it; all else is JSON, as it is sent."""
    schema = schema if isinstance(schema, Mapping) else {}
    choices, named = schema.get("enum"), schema.get("type")
    if isinstance(choices, list) and choices and all(isinstance(one, str) for one in choices):
        return ("choice", tuple(choices)) if value is None or value in choices else ("json", ())
    if "enum" in schema or "const" in schema:
        return "json", ()
    if named == "string" and isinstance(value, str | None):
        return "text", ()
    if named == "boolean" and isinstance(value, bool | None):
        return "boolean", ()
    if named in ("number", "integer") and (value is None or number_text(value) is not None):
        return "number", ()
    return "json", ()


def _text(kind: Kind, value: Any) -> str:
    if kind in ("text", "choice"):
        return str(value)
    return number_text(value) or "" if kind == "number" else canonical(value).decode()


def read(known: tuple[Field, ...], form: Mapping[str, str]) -> dict[str, Any]:
    """The arguments as one JSON document, parsed as an agent's would be: amounts as they were typed, no key twice, bounded.
    Raises BadInput naming the argument."""
    text = ",".join(f"{json.dumps(name)}:{value}" for name, value in _given(known, form))
    made = parse(f"{{{text}}}".encode())
    assert isinstance(made, dict)
    return made


def _given(known: tuple[Field, ...], form: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for field in known:
        if not field.required and form.get(f"{field.name}-given") != "1":
            continue
        try:
            yield field.argument, _json(field, form.get(field.name, ""))
        except BadInput as error:
            words = said("The argument “%(name)s”: %(hint)s", name=field.argument[:80], hint=one_of_ours(error.hint))
            raise BadInput(words, detail=error.detail) from error


def _json(field: Field, typed: str) -> str:
    if field.kind == "text":
        return json.dumps(field.text if _lines(typed) == _lines(field.text) else _lines(typed))
    if field.kind == "choice":
        if typed not in field.choices:
            raise BadInput("choose one of those that the tool takes.")
        return json.dumps(typed)
    typed = typed.strip()
    if field.kind == "boolean" and typed not in ("true", "false"):
        raise BadInput("say yes or no.")
    if field.kind == "number" and not NUMBER.fullmatch(typed):
        raise BadInput("write a plain number, with a point before decimals.")
    parse(typed.encode(), ONE)  # alone: what it is put into must not see more than one value
    return typed


def _lines(text: str) -> str:
    """A browser sends every line break as CR LF, whatever it was before."""
    return text.replace("\r\n", "\n")
