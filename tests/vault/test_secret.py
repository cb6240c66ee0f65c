"""A `Secret` opens by `.reveal()` and by nothing else that happens to values by accident."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from jinja2 import Environment

from vault.secret import Secret

VALUE = "hunter2-and-more"
KINDS = (Secret(VALUE), Secret(VALUE.encode()))


@dataclass(frozen=True)
class Holder:
    token: Secret[Any]


PER_CENT, BRACES, TEMPLATE = "%s and %r", "{} {!r}", "{{ one }} {{ one|string }} {{ [one] }} {{ '%s' % one }}"
PRINTED: dict[str, Callable[[Secret[Any]], str]] = {
    "repr": repr, "str": str, "format": lambda one: f"{one}", "format with a width": lambda one: f"{one:>40}",
    "format of its repr": lambda one: f"{one!r}", "per cent": lambda one: PER_CENT % (one, one),
    "str.format": lambda one: BRACES.format(one, one), "in a list": lambda one: str([one]),
    "in a dict": lambda one: str({"a": one}), "in a dataclass": lambda one: repr(Holder(one)),
    "in a template": lambda one: Environment(autoescape=True).from_string(TEMPLATE).render(one=one),
}


@pytest.mark.parametrize("secret", KINDS, ids=["text", "bytes"])
@pytest.mark.parametrize("way", PRINTED)
def test_no_way_of_printing_shows_it(secret: Secret[Any], way: str) -> None:
    shown = PRINTED[way](secret)
    assert "hunter2" not in shown
    assert "Secret(…)" in shown


@pytest.mark.parametrize("secret", KINDS, ids=["text", "bytes"])
def test_a_log_and_a_traceback_do_not_show_it(secret: Secret[Any], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        try:
            raise ValueError("refused", secret)
        except ValueError as error:
            logging.getLogger("anything").exception("of %s and %r", secret, secret)
            told = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "hunter2" not in caplog.text
    assert "error = ValueError('refused', Secret(…))" in told
    assert "secret = Secret(…)" in told


@pytest.mark.parametrize("secret", KINDS, ids=["text", "bytes"])
@pytest.mark.parametrize("way", [json.dumps, pickle.dumps, copy.copy, copy.deepcopy, hash, vars], ids=lambda one: one.__name__)
def test_what_would_write_it_down_or_keep_it_refuses(secret: Secret[Any], way: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError):
        way(secret)


def test_it_is_what_it_is() -> None:
    assert Secret(VALUE).reveal() == VALUE
    assert Secret(VALUE) == Secret(VALUE)
    assert Secret(VALUE) != Secret(VALUE + "!")
    assert Secret(VALUE) != Secret(VALUE.encode())
    assert Secret("ü") == Secret("ü"), "compared as bytes: text beyond ASCII too"
    assert Secret(VALUE) != VALUE, "a bare value is never equal, so that no one is kept for comparing"
    assert not Secret("")
    assert Secret("0")
