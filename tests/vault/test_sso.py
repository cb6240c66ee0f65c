"""Signing in at a real OpenID provider that requires PKCE and names itself; and every way to lie about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.conftest import Clock
from tests.keeper_parts import KeeperParts
from tests.oidc_provider import Provider, serve
from tests.vault.accounts import name_of
from vault import people, sso, tickets
from vault.authority import keys
from vault.errors import BadRequest, KeeperError, NotKnown, ProviderRefused, Stale
from vault.secret import Secret
from vault.table import Keeper

CALLBACK = "http://localhost:8000/sign-in/callback"
SESSION = "the raw cookie of a session about to be created"


@pytest.fixture(scope="module")
def idp() -> Iterator[Provider]:
    with serve([CALLBACK], people={"alice": {"groups": ["finance", "admin"]}}, acr="urn:example:strong") as made:
        yield made


@pytest.fixture
def inside(keeper: KeeperParts, clock: Clock) -> Iterator[Keeper]:
    made = keeper.inside(clock)
    yield made
    made.vault.wire.close()


def put(keeper: Keeper, idp: Provider, **more: Any) -> str:
    name = name_of("idp")
    sso.idp_put(keeper, {"name": name, "record": idp.record(groups_claim="groups", scopes=["profile", "email"], **more)})
    return name


def begin(keeper: Keeper, name: str, hint: str = "alice") -> dict[str, Any]:
    return dict(sso.sign_in_begin(keeper, {"idp": name, "redirect_uri": CALLBACK, "login_hint": hint}))


def finish(keeper: Keeper, begun: dict[str, Any], came: dict[str, str], **changes: Any) -> dict[str, Any]:
    body = {"sealed": begun["sealed"], "state": came["state"], "code": came["code"], "iss": came.get("iss"), "session": SESSION}
    return dict(sso.sign_in_finish(keeper, {**body, **changes}))


def test_a_person_signs_in_and_the_ticket_is_theirs(inside: Keeper, idp: Provider) -> None:
    begun = begin(inside, put(inside, idp))
    found = finish(inside, begun, idp.consent(begun["url"]))
    assert (found["subject"], found["groups"], found["email"]) == ("alice", ["admin", "finance"], "alice@example.test")
    assert found["person"] == sso.person_id(idp.issuer, "alice")
    ticket = tickets.verify(found["ticket"], Secret(SESSION), keys(inside), inside.clock())
    assert (ticket.person, ticket.groups) == (found["person"], ("admin", "finance"))
    assert people.person(inside, found["person"]).groups == ("admin", "finance")


def test_groups_are_read_anew_at_each_sign_in(inside: Keeper, idp: Provider) -> None:
    for fixed, groups in ((["finance"], ("finance",)), ([], ())):
        begun = begin(inside, put(inside, idp, groups_by_subject={"alice": fixed}))
        found = finish(inside, begun, idp.consent(begun["url"]))
        assert people.person(inside, found["person"]).groups == groups


def test_a_code_is_good_once(inside: Keeper, idp: Provider) -> None:
    begun = begin(inside, put(inside, idp))
    came = idp.consent(begun["url"])
    finish(inside, begun, came)
    with pytest.raises(ProviderRefused, match="invalid_grant") as caught:
        finish(inside, begun, came)
    assert "Start again" in caught.value.hint


def test_another_persons_code_does_not_fit_this_attempt(inside: Keeper, idp: Provider) -> None:
    """The verifier and the nonce are this attempt's: a code that somebody else obtained is of no use in it."""
    name = put(inside, idp)
    mine, theirs = begin(inside, name), begin(inside, name, "mallory")
    stolen = idp.consent(theirs["url"])
    with pytest.raises(ProviderRefused):
        finish(inside, mine, {**stolen, "state": mine["state"]})


LIES = {
    "another state": ({"state": "another"}, Stale),
    "no issuer, though this provider always names itself": ({"iss": None}, ProviderRefused),
    "another issuer (mix-up)": ({"iss": "https://evil.example"}, ProviderRefused),
    "an empty code": ({"code": ""}, BadRequest),
    "a blob of nobody": ({"sealed": "AAAA"}, BadRequest),
}


@pytest.mark.parametrize(("changes", "refused"), LIES.values(), ids=LIES.keys())
def test_a_callback_that_lies_signs_nobody_in(
    inside: Keeper, idp: Provider, changes: dict[str, Any], refused: type[KeeperError]
) -> None:
    begun = begin(inside, put(inside, idp))
    with pytest.raises(refused):
        finish(inside, begun, idp.consent(begun["url"]), **changes)


def test_a_blob_of_another_purpose_does_not_open(inside: Keeper, idp: Provider) -> None:
    begun = begin(inside, put(inside, idp))
    sealed = inside.seal.seal("connect", {"idp": "main"}, now=inside.clock(), lifetime=60)
    with pytest.raises(BadRequest):
        finish(inside, begun, idp.consent(begun["url"]), sealed=sealed)


def test_an_attempt_ends(inside: Keeper, idp: Provider, clock: Clock) -> None:
    begun = begin(inside, put(inside, idp))
    came = idp.consent(begun["url"])
    clock.forward(seconds=901)
    with pytest.raises(Stale):
        finish(inside, begun, came)


def test_the_strength_that_was_asked_for_is_required(inside: Keeper, idp: Provider) -> None:
    begun = begin(inside, put(inside, idp, acr_values=["urn:example:strong"], max_age=300))
    assert finish(inside, begun, idp.consent(begun["url"]))["claims"]["acr"] == "urn:example:strong"


def test_a_weaker_sign_in_is_refused(inside: Keeper, idp: Provider) -> None:
    begun = begin(inside, put(inside, idp, acr_values=["urn:example:stronger"]))
    with pytest.raises(ProviderRefused) as caught:
        finish(inside, begun, idp.consent(begun["url"]))
    assert "strong" in caught.value.hint


def test_who_declines_is_told_by_the_provider_in_its_code(inside: Keeper, idp: Provider) -> None:
    begun = begin(inside, put(inside, idp), hint="nobody")
    assert idp.consent(begun["url"])["error"] == "access_denied"


def test_groups_by_subject_are_refused_outside_an_evaluation_instance(inside: Keeper, idp: Provider) -> None:
    name = put(inside, idp, groups_by_subject={"alice": ["admin"]})
    begun = begin(inside, name)
    came = idp.consent(begun["url"])
    inside.settings = replace(inside.settings, evaluation=False)
    with pytest.raises(BadRequest):
        sso.idp_put(inside, {"name": name, "record": idp.record(groups_by_subject={"alice": ["admin"]})})
    with pytest.raises(BadRequest):
        finish(inside, begun, came)


@pytest.mark.parametrize("issuer", ["http://idp.example", "https://idp.example", "https://user@127.0.0.1", "file:///etc/passwd"])
def test_an_evaluation_instance_knows_only_this_machine(inside: Keeper, issuer: str) -> None:
    with pytest.raises(BadRequest):
        sso.idp_put(inside, {"name": name_of("idp"), "record": {"issuer": issuer, "client_id": "c"}})


def test_a_record_with_settings_that_nobody_knows_is_refused(inside: Keeper, idp: Provider) -> None:
    with pytest.raises(BadRequest):
        put(inside, idp, verify_signature=False)


def test_without_an_identity_provider_nobody_signs_in(inside: Keeper) -> None:
    with pytest.raises(NotKnown):
        begin(inside, "nowhere")


def test_the_secrets_of_an_attempt_are_not_in_what_the_app_gets(inside: Keeper, idp: Provider) -> None:
    """The verifier and the client's secret stay sealed; what the app may read of a sign-in holds no token."""
    begun = begin(inside, put(inside, idp))
    found = finish(inside, begun, idp.consent(begun["url"]))
    opened = inside.seal.open(sso.PURPOSE, begun["sealed"], now=inside.clock())
    shown = f"{begun} {found}"
    assert opened["verifier"] not in shown
    assert "a-secret-that-only-the-keeper-holds" not in shown
    assert "access_token" not in shown
