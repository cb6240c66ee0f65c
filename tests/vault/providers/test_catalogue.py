"""The catalogue: what nobody described is grave, and what an operator adds is read as strictly as what is shipped."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from vault.providers.catalogue import ProviderFacts, facts, load


@pytest.mark.parametrize("entry", load().values(), ids=load().keys())
def test_every_shipped_provider_can_be_connected_and_says_what_it_may(entry: ProviderFacts) -> None:
    assert entry.pkce
    assert set(entry.default_scopes) <= set(entry.scopes)
    assert not entry.grave(entry.default_scopes) or entry.name == "harbour"
    assert entry.name in ("oidc", "oauth", "harbour") or (entry.authorize_url and entry.token_url and entry.docs)
    assert entry.revoke_effect != "none" or entry.manual_revoke_url


def test_what_nobody_described_is_grave() -> None:
    github = load()["github"]
    assert github.grave(["repo", "delete_repo", "something:new"]) == {"delete_repo", "something:new"}


def test_a_provider_that_does_not_name_itself_has_a_callback_of_its_own() -> None:
    assert (load()["github"].callback, load()["harbour"].callback) == ("own", "shared")


def test_an_unknown_provider_is_shown_under_its_own_name() -> None:
    found = facts(load(), "acme-books", "oidc")
    assert (found.name, found.title, found.discovery) == ("acme-books", "Acme Books", True)


def test_an_operators_entry_stands_over_the_shipped_one(tmp_path: Path) -> None:
    extra = tmp_path / "providers.yaml"
    extra.write_text('own-gitlab: {extends: gitlab, title: Our GitLab, token_url: "https://git.example/oauth/token"}')
    found = load(extra)["own-gitlab"]
    assert (found.title, found.token_url, found.refresh_kills_previous) == ("Our GitLab", "https://git.example/oauth/token", True)


WRONG = [
    "bad: {title: Bad, kind: oauth, token_url: 'http://bad.example/token'}",
    "bad: {title: Bad, kind: oauth, token_url: 'https://user:pass@bad.example/token'}",
    "bad: {title: Bad, kind: saml}",
    "bad: {title: Bad, kind: oauth, verify: false}",
    "bad: {title: Bad, kind: oauth, scopes: {x: {words: X}}}",
    "bad: {title: Bad, kind: oauth, scopes: {x: {words: Do it, effect: harmless}}}",
    "Bad Name: {title: Bad, kind: oauth}",
    "- a list",
]


@pytest.mark.parametrize("entry", WRONG)
def test_an_entry_that_is_wrong_is_refused(tmp_path: Path, entry: str) -> None:
    extra = tmp_path / "providers.yaml"
    extra.write_text(entry)
    with pytest.raises((ValidationError, ValueError)):
        load(extra)
