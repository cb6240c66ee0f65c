"""API keys: pasted once, handed out by lease, never shown, and graver than they look unless the catalogue says otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Clock
from tests.keeper_parts import KeeperParts
from tests.vault.accounts import OWNER, approver, envelope, evidence, mint, name_of, stored
from vault import accounts, connecting, ending, keys
from vault.errors import BadRequest, Disconnected, NeedsConsent, NotApproved, NotKnown, Paused, ScopeRefused, Stale
from vault.providers.catalogue import load
from vault.secret import Secret
from vault.table import Keeper
from vault.upstreams import upstreams

KEY = "sk-the-key-that-nobody-sees"


@pytest.fixture
def inside(keeper: KeeperParts, clock: Clock) -> Iterator[Keeper]:
    made = keeper.inside(clock)
    accounts.provider_put(made, {"name": "brave-search", "record": {}})
    accounts.provider_put(made, {"name": "openai", "record": {}})
    yield made
    made.vault.wire.close()


def put(keeper: Keeper, connection: str, **more: Any) -> dict[str, Any]:
    asked = {"connection": connection, "person": OWNER, "provider": "brave-search", "key": KEY, "label": "Search"}
    return dict(keys.key_put(keeper, {**asked, **more}))


def test_a_key_is_handed_out_like_a_token_until_its_lease_ends(inside: Keeper, clock: Clock) -> None:
    connection = name_of("con")
    assert put(inside, connection)["scopes"] == ["search"]
    minted = mint(inside, connection, ("search",), cap=60)
    assert minted["token"] == KEY
    assert datetime.fromisoformat(minted["expires_at"]) == clock.now + timedelta(seconds=60)
    assert (minted["exclusive"], minted["token_ref"]) == (False, "")
    with pytest.raises(ScopeRefused):
        mint(inside, connection, ("search", "more"))
    with pytest.raises(NotKnown):
        mint(inside, connection, ("search",), person="per_stranger")


def test_what_a_key_can_do_is_not_the_persons_to_narrow(inside: Keeper) -> None:
    """OpenAI's key deletes too: each use of it needs an approved action, unless the operator says otherwise."""
    connection = name_of("con")
    put(inside, connection, provider="openai")
    with pytest.raises(ScopeRefused, match="needs evidence"):
        mint(inside, connection, ("api",))
    proof = evidence(inside, envelope(inside, connection, scopes=["api"]), approver(inside))
    assert mint(inside, connection, ("api",), evidence=proof)["token"] == KEY
    with pytest.raises(NotApproved):
        mint(inside, connection, ("api",), evidence=proof)


def test_what_was_approved_for_one_key_is_not_for_the_next(inside: Keeper) -> None:
    connection = name_of("con")
    first = put(inside, connection, provider="openai")
    proof = evidence(inside, envelope(inside, connection, scopes=["api"]), approver(inside))
    assert put(inside, connection, provider="openai", key="sk-another-account")["account"] != first["account"]
    with pytest.raises(NotApproved):
        mint(inside, connection, ("api",), evidence=proof)


def test_a_key_is_replaced_in_place_and_the_old_one_is_gone(inside: Keeper) -> None:
    connection = name_of("con")
    put(inside, connection)
    put(inside, connection, key="sk-the-second-key")
    assert mint(inside, connection, ("search",))["token"] == "sk-the-second-key"
    assert KEY not in str(stored(inside, connection))


def test_a_key_is_not_handed_out_past_its_last_day_and_comes_back_with_a_new_one(inside: Keeper, clock: Clock) -> None:
    connection = name_of("con")
    put(inside, connection, expires_at=(clock.now + timedelta(seconds=100)).isoformat())
    assert datetime.fromisoformat(mint(inside, connection, ("search",))["expires_at"]) == clock.now + timedelta(seconds=100)
    clock.forward(seconds=101)
    with pytest.raises(NeedsConsent) as over:
        mint(inside, connection, ("search",))
    assert "Replace it" in over.value.hint
    put(inside, connection)
    assert mint(inside, connection, ("search",))["token"] == KEY


def test_pause_and_disconnect_hold_for_keys_too(inside: Keeper) -> None:
    connection = name_of("con")
    put(inside, connection)
    ending.pause(inside, {"connection": connection, "person": OWNER})
    with pytest.raises(Paused):
        mint(inside, connection, ("search",))
    put(inside, connection, key="sk-the-second-key")  # as a new consent does, a new key resumes it
    assert mint(inside, connection, ("search",))["token"] == "sk-the-second-key"
    accounts.disconnect(inside, {"connection": connection, "person": OWNER})
    with pytest.raises(Disconnected):
        mint(inside, connection, ("search",))
    assert accounts.revoke_connection(inside, {"connection": connection})["outcome"] == "unsupported"
    assert "sk-the-second-key" not in str(stored(inside, connection))
    with pytest.raises(Stale):
        put(inside, connection)


NO_KEYS = ["short", "two words", "line\nbreak-in-it", "tab\there-in-it", "ümlaut-in-it", "x" * 4097, "a\x00bcdefgh"]


@pytest.mark.parametrize("key", NO_KEYS)
def test_what_is_no_key_is_refused_and_not_repeated(inside: Keeper, key: str) -> None:
    """A line break would begin a second header at whoever receives it."""
    with pytest.raises(BadRequest) as refused:
        put(inside, name_of("con"), key=key)
    assert key not in refused.value.hint
    assert key not in refused.value.detail


def test_only_services_of_keys_that_an_operator_set_up_take_keys(inside: Keeper) -> None:
    for provider in ("mailgun", "github", "key"):
        with pytest.raises((NotKnown, BadRequest)):
            put(inside, name_of("con"), provider=provider)
    with pytest.raises(BadRequest):
        accounts.provider_put(inside, {"name": "key", "record": {}})
    with pytest.raises(BadRequest):
        accounts.provider_put(inside, {"name": "openai", "record": {"client_id": "x"}})
    with pytest.raises(BadRequest):
        connecting.connect_begin(
            inside, {"provider": "openai", "person": OWNER, "redirect_uri": "http://localhost:8000/x", "scopes": ["api"]}
        )


def test_a_stranger_replaces_nobodys_key(inside: Keeper) -> None:
    connection = name_of("con")
    put(inside, connection)
    with pytest.raises(NotKnown):
        put(inside, connection, person="per_stranger", key="sk-the-strangers")
    with pytest.raises(NotKnown):
        put(inside, connection, provider="openai", key="sk-for-elsewhere")
    assert mint(inside, connection, ("search",))["token"] == KEY


@pytest.mark.parametrize("ends", ["yesterday", "2020-01-01T00:00:00+00:00", "2027-01-01T00:00:00", "9999-01-01T00:00:00+00:00"])
def test_a_last_day_that_is_none_is_refused(inside: Keeper, ends: str) -> None:
    with pytest.raises(BadRequest):
        put(inside, name_of("con"), expires_at=ends)


def test_an_operators_own_service_says_what_its_key_can_do(inside: Keeper, tmp_path: Path) -> None:
    """What it does not say is destructive."""
    (tmp_path / "providers").mkdir()
    own = tmp_path / "providers" / "erp.yaml"
    scopes = "{key: null, see: {words: See the books, effect: read}}"
    own.write_text(f"extends: key\ntitle: ERP\nscopes: {scopes}\ndefault_scopes: [see]")
    upstreams(inside).catalogue = lambda: load(tmp_path)
    accounts.provider_put(inside, {"name": "erp", "record": {}})
    connection = name_of("con")
    put(inside, connection, provider="erp")
    assert mint(inside, connection, ("see",))["token"] == KEY
    own.unlink()
    with pytest.raises(ScopeRefused, match="needs evidence"):
        mint(inside, connection, ("see",))


def test_through_the_door_a_key_is_a_secret(keeper: KeeperParts, inside: Keeper) -> None:
    connection = name_of("con")
    stored_ = keeper.door.key_put(
        connection=connection, person=OWNER, provider="brave-search", key=Secret(KEY), label="Search", expires_at=None
    )
    minted = keeper.door.mint(connection=connection, person=OWNER, scopes=["search"], receiver="web", cap=60)
    assert minted.token.reveal() == KEY
    assert keeper.door.connection(connection).status == "active"
    assert KEY not in repr((stored_, minted))
    with pytest.raises(BadRequest):
        keeper.door.key_put(connection=name_of("con"), person=OWNER, provider="brave-search", key=Secret(KEY + " x"), label="S")
    assert KEY not in keeper.log.read_text(errors="replace")
