"""What every app that a test makes would compile anew, compiled once in a process: thousands of apps have the same templates and
routes. Half of a test's time went there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import CodeType
from typing import Any

from flask import Flask
from jinja2 import BytecodeCache, Environment, Undefined
from jinja2.bccache import Bucket
from jinja2.utils import missing
from werkzeug.routing import Rule


class Compiled(BytecodeCache):
    """In memory. A template is another one where what surrounds it compiles it otherwise."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Any, ...], CodeType] = {}

    def get_bucket(self, environment: Environment, name: str, filename: str | None, source: str) -> Bucket:
        finalize = environment.finalize
        around = (
            *sorted(environment.extensions), getattr(environment, "newstyle_gettext", None), environment.autoescape,
            environment.trim_blocks, environment.lstrip_blocks, getattr(finalize, "__qualname__", None),
            *sorted(environment.filters), *sorted(environment.tests),
        )
        bucket = Bucket(environment, repr((name, filename, around)), self.get_source_checksum(source))
        self.load_bytecode(bucket)
        return bucket

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._kept.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        if bucket.code is not None:
            self._kept[bucket.key, bucket.checksum] = bucket.code


class Missed(Undefined):
    """What a template asks of an object that has no such thing is an error here; on a page it would print nothing."""

    def _missed(self, *_args: Any) -> Any:
        if self._undefined_obj is not missing and not isinstance(self._undefined_obj, Mapping | Sequence):
            self._fail_with_undefined_error()
        return None

    def __str__(self) -> str:
        return self._missed() or ""

    def __bool__(self) -> bool:
        return bool(self._missed())

    def __iter__(self) -> Iterator[Any]:
        self._missed()
        return iter(())


def compile_once() -> None:
    """For all apps of this process. A rule's builder is a function of `self`, so two rules that read alike can share it."""
    Flask.jinja_options = {**Flask.jinja_options, "bytecode_cache": Compiled(), "undefined": Missed}
    compiled: Callable[..., Any] = Rule._compile_builder
    kept: dict[tuple[Any, ...], Any] = {}

    def builder(self: Rule, append_unknown: bool = True) -> Any:
        key = (*self._trace, repr(self.defaults), append_unknown)
        if key not in kept:
            kept[key] = compiled(self, append_unknown)
        return kept[key]

    Rule._compile_builder = builder  # type: ignore[method-assign]
