"""Answers of the token endpoint and its neighbours, held against `/openapi.json` as if it allowed nothing it does not name."""

from __future__ import annotations

from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from werkzeug.test import TestResponse

from webapp.config import Settings
from webapp.oauth import openapi

BASE = "#/components/"


def check(path: str, answer: TestResponse) -> None:
    """Raises jsonschema's ValidationError for a member that has another form, is missing or is not described, and KeyError for a
    status that is not described."""
    validator = _validator(path, str(answer.status_code))
    if validator is not None:
        validator.validate(answer.get_json())


@cache
def _validator(path: str, status: str) -> Draft202012Validator | None:
    described = openapi.document(Settings())
    response = _closed(described["paths"][path]["post"]["responses"][status])
    if ref := response.get("$ref"):
        response = _closed(described["components"]["responses"][ref.removeprefix(f"{BASE}responses/")])
    schema = response.get("content", {}).get("application/json", {}).get("schema")
    if schema is None:
        return None
    return Draft202012Validator({**schema, "components": {"schemas": _closed(described["components"]["schemas"])}})


def _closed(found: Any) -> Any:
    """Every object that names its members, with no others."""
    if isinstance(found, list):
        return [_closed(one) for one in found]
    if not isinstance(found, dict):
        return found
    made = {key: _closed(value) for key, value in found.items()}
    names = isinstance(found.get("properties"), dict) and found.get("type") == "object"
    return {**made, "additionalProperties": False} if names and "additionalProperties" not in made else made
