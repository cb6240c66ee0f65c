"""Arguments checked against the pinned `inputSchema`, before policy sees them. JSON Schema 2020-12, or draft 7 or 2019-09 where
the schema says so; no remote references; bounded, since both the schema and the arguments come from strangers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any

import jsonschema
import referencing
import referencing.exceptions
from jsonschema import validators

from webapp.canonical import canonical, number_text
from webapp.errors import BadInput, Said, said
from webapp.policy import patterns, pointer

STEPS = 20_000
"""Keywords evaluated for one call: a schema whose references multiply (`allOf` of two of the next, twenty deep) stops here."""
UNIQUE = 1000
"""Items that `uniqueItems` compares: it is quadratic on objects."""

DRAFTS = {
    "https://json-schema.org/draft/2020-12/schema": jsonschema.Draft202012Validator,
    "https://json-schema.org/draft/2019-09/schema": jsonschema.Draft201909Validator,
    "http://json-schema.org/draft-07/schema": jsonschema.Draft7Validator,
}
DEFAULT = "https://json-schema.org/draft/2020-12/schema"
"""The dialect of a tool's schema that names none (MCP 2025-11-25, Tools)."""

_steps: ContextVar[list[int]] = ContextVar("steps")

Keyword = Callable[[Any, Any, Any, Any], Iterator[Any] | None]


class SchemaUnusable(BadInput):
    """The pinned schema cannot be checked against, so no call of the tool can be: an admin sees it when approving."""

    default = "schema_unusable"


class _TooMuch(Exception):
    pass


def check(input_schema: Mapping[str, Any], arguments: Any, *, pin: str = "") -> None:
    """Raises BadInput naming the first offending argument by JSON Pointer, never its value. `pin` (the pin's digest) saves
    computing the schema's."""
    budget = _steps.set([STEPS])
    try:
        checker = _checker(pin, input_schema)
        error = next(checker.iter_errors(arguments), None)
    except SchemaUnusable:
        raise
    except _TooMuch as failure:
        raise SchemaUnusable("The arguments cannot be checked against the tool's schema in reasonable time.") from failure
    except (patterns.UnsafePattern, referencing.exceptions.Unresolvable) as failure:
        raise SchemaUnusable(said("The tool's schema cannot be used: %(why)s.", why=_why(failure))) from failure
    except (RecursionError, ArithmeticError, TypeError, ValueError, KeyError, AttributeError) as failure:
        raise SchemaUnusable("The tool's schema cannot be used.", detail=repr(failure)) from failure
    finally:
        _steps.reset(budget)
    if error is not None:
        where = "".join("/" + pointer.escape(str(part)) for part in error.absolute_path)[:200]
        raise BadInput(_words(error, where or said("(all)")), code="bad_arguments")


def usable(input_schema: Mapping[str, Any]) -> str:
    """Why calls could not be checked against this schema; empty when they can. For the admin who is about to approve it."""
    try:
        check(input_schema, {})
    except SchemaUnusable as error:
        return error.hint
    except BadInput:
        return ""
    return ""


def _safe(node: Any) -> None:
    """Every pattern must compile, also where no argument has reached it yet. Raises UnsafePattern."""
    if isinstance(node, dict):
        if isinstance(node.get("pattern"), str):
            patterns.compiled(node["pattern"])
        for each in node["patternProperties"] if isinstance(node.get("patternProperties"), dict) else ():
            patterns.compiled(each)
        node = list(node.values())
    for each in node if isinstance(node, list) else ():
        _safe(each)


def _why(failure: Exception) -> Said:
    outside = said("it refers to a schema that is not part of it")
    return failure.why if isinstance(failure, patterns.UnsafePattern) else outside


def _words(error: jsonschema.ValidationError, where: str) -> Said:
    """What is wrong, by keyword; the value itself may be anything, and stays out of messages and logs."""
    match error.validator:
        case "required":
            missing = [name for name in error.validator_value if name not in error.instance]
            if not missing:
                return said("The argument %(where)s lacks a field.", where=where)
            return said("The argument %(where)s lacks `%(field)s`.", where=where, field=str(missing[0])[:80])
        case "type":
            return said("The argument %(where)s is not of type %(type)s.", where=where, type=str(error.validator_value))
        case "additionalProperties" | "unevaluatedProperties":
            return said("The argument %(where)s has a field that the tool does not know.", where=where)
        case "enum" | "const":
            return said("The argument %(where)s is not one of the values that the tool takes.", where=where)
        case other:
            return said("The argument %(where)s does not satisfy `%(keyword)s`.", where=where, keyword=other)


def _checker(pin: str, input_schema: Mapping[str, Any]) -> Any:
    key = pin or hashlib.sha256(canonical(input_schema)).hexdigest()
    found = _compiled.get(key)
    if found is None:
        found = _compile(input_schema)
        if len(_compiled) >= CACHED:
            _compiled.clear()
        _compiled[key] = found
    return found


CACHED = 1024
_compiled: dict[str, Any] = {}


def _compile(input_schema: Mapping[str, Any]) -> Any:
    named = str(input_schema.get("$schema", DEFAULT)).removesuffix("#")
    if named not in DRAFTS:
        raise SchemaUnusable("The tool's schema is in a dialect that is not known here.")
    draft = DRAFTS[named]
    try:
        draft.check_schema(input_schema, format_checker=jsonschema.FormatChecker(()))
        _safe(input_schema)
    except (jsonschema.SchemaError, RecursionError) as error:
        raise SchemaUnusable("The tool's schema is not a valid JSON Schema.") from error
    text = canonical(input_schema)
    if b'"patternProperties"' in text and b'"unevaluatedProperties"' in text:
        raise patterns.UnsafePattern(said("`unevaluatedProperties` beside `patternProperties` cannot be run safely"))
    return _bounded(named)(input_schema, registry=referencing.Registry())


@lru_cache(maxsize=len(DRAFTS))
def _bounded(named: str) -> Any:
    """The draft's validator with every keyword counted, and without Python's `re`."""
    draft = DRAFTS[named]
    own: dict[str, Keyword] = {"pattern": _pattern, "patternProperties": _pattern_properties, "uniqueItems": _unique(draft)}
    own |= {"additionalProperties": _additional(draft), "multipleOf": _multiple_of}
    return validators.extend(draft, {name: _counted(keyword) for name, keyword in {**draft.VALIDATORS, **own}.items()})


def _counted(keyword: Keyword) -> Keyword:
    def counted(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any] | None:
        left = _steps.get()
        left[0] -= 1
        if left[0] < 0:
            raise _TooMuch
        return keyword(validator, value, instance, schema)

    return counted


def _pattern(_validator: Any, pattern: Any, instance: Any, _schema: Any) -> Iterator[Any]:
    if isinstance(instance, str) and not patterns.matches(pattern, instance):
        yield jsonschema.ValidationError("does not match")


def _pattern_properties(validator: Any, value: Any, instance: Any, _schema: Any) -> Iterator[Any]:
    if not isinstance(instance, dict):
        return
    for pattern, below in value.items():
        for name, each in instance.items():
            if patterns.matches(pattern, name):
                yield from validator.descend(each, below, path=name, schema_path=pattern)


def _additional(draft: Any) -> Keyword:
    """The draft's own, which asks `re` about `patternProperties`: here those are asked of the safe engine."""
    def additional(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if not isinstance(instance, dict):
            return
        known, named = schema.get("properties", {}), schema.get("patternProperties", {})
        for name, each in instance.items():
            if name in known or any(patterns.matches(pattern, name) for pattern in named):
                continue
            if validator.is_type(value, "object"):
                yield from validator.descend(each, value, path=name)
            elif not value:
                yield jsonschema.ValidationError("unexpected")

    return additional


def _multiple_of(validator: Any, step: Any, instance: Any, _schema: Any) -> Iterator[Any]:
    """By how the numbers were written: as doubles, 4.35 is no multiple of 0.01."""
    if validator.is_type(instance, "number") and _exact(instance) % _exact(step) != 0:
        yield jsonschema.ValidationError("not a multiple")


def _exact(number: Any) -> Fraction:
    return Fraction(Decimal(number_text(number) or repr(number)))


def _unique(draft: Any) -> Keyword:
    plain: Keyword = draft.VALIDATORS["uniqueItems"]

    def unique(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any] | None:
        if isinstance(instance, list) and len(instance) > UNIQUE:
            raise _TooMuch
        return plain(validator, value, instance, schema)

    return unique
