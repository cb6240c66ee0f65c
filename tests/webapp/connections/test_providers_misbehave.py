"""Providers that lie, err, hang or give less, and people who mix them up: what is connected is what was asked and granted."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from html import escape, unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from tests.app_parts import Browser, People
from tests.keeper_parts import KeeperParts
from tests.oidc_provider import Provider
from tests.scripted_provider import Handler, Scripted, cut_off, error, hang_up
from tests.scripted_provider import serve as scripted
from tests.webapp.connections.parts import SCOPES, back, begin, connect, log, rows
from vault.answers import SCOPE, SCOPES_KEPT
from vault.providers.catalogue import UNREADABLE, load
from vault.secret import Secret
from vault.upstream import Endpoints, Request, authorization_url
from webapp.connections import providers
from webapp.connections.tables import Attempt, Connection
from webapp.web.house import House

TRY = re.compile(r'href="([^"]+)">Try again<')


@pytest.fixture
def provider(house: House) -> Iterator[Scripted]:
    with scripted() as made:
        house.door.provider_put("harbour", made.record())
        yield made


def came(url: str, provider: Scripted, **otherwise: str) -> dict[str, str]:
    """What the provider's redirect brings back for this request."""
    state = parse_qs(urlsplit(url).query)["state"][0]
    return {"state": state, "code": "a-code", "iss": provider.url, **otherwise}


def attempt(browser: Browser, provider: Scripted, scopes: list[str] | None = None, **otherwise: str) -> TestResponse:
    return back(browser, came(begin(browser, scopes), provider, **otherwise))


def again(page: TestResponse) -> str:
    """Where "Try again" leads."""
    found = TRY.search(page.text)
    assert found, page.text
    return unescape(found.group(1))


def connects_by(browser: Browser, path: str, provider: Scripted) -> bool:
    """Follow "Try again" as a person does: the same things are ticked, and Continue leads to a connected account."""
    page = browser.get(path)
    ticked = re.findall(r'name="scope" value="([^"]+)" checked', page.text)
    sent = browser.send("/connections/new", provider="harbour", scope=ticked)
    return back(browser, came(sent.headers["Location"], provider)).status_code == 303


def junk(handler: Handler) -> bool:
    handler.send(200, b"<html>welcome</html>")
    return True


def nothing(handler: Handler) -> bool:
    handler.answer(200, {"token_type": "Bearer"})
    return True


def other_type(handler: Handler) -> bool:
    handler.answer(200, {"access_token": "t", "token_type": "mac"})
    return True


def half(handler: Handler) -> bool:
    handler.body = b'{"access_token": "half-a-token-and-the-rest-is-lost"}'
    return cut_off(handler)


AT_THE_CODE = {
    "an error of its own": (error(500), 502), "a refusal": (error(400, "invalid_client"), 400), "junk": (junk, 502),
    "no token": (nothing, 502), "another kind of token": (other_type, 400), "half an answer": (half, 502),
    "it hangs up": (hang_up, 502), "an old code": (error(400, "invalid_grant"), 400),
}


@pytest.mark.parametrize(("fault", "status"), AT_THE_CODE.values(), ids=AT_THE_CODE.keys())
def test_a_provider_that_errs_connects_nothing_and_can_be_tried_again(
    signed_in: People, provider: Scripted, house: House, fault: object, status: int
) -> None:
    ada = signed_in("ada")
    provider.redeeming.append(fault)  # type: ignore[arg-type]
    page = attempt(ada, provider, ["accounts:read"])
    assert page.status_code == status
    assert "Harbour Bank was not connected" in page.text
    assert rows(house, ada.person) == []
    assert "scope=accounts%3Aread" in again(page)
    assert connects_by(ada, again(page), provider)
    assert len(rows(house, ada.person)) == 1


REFUSALS = {
    "access_denied": "You did not agree", "server_error": "had an error of its own", "temporarily_unavailable": "too busy",
    "invalid_scope": "does not offer", "<script>": "did not connect the account",
}


@pytest.mark.parametrize(("code", "words"), REFUSALS.items())
def test_a_refusal_is_told_in_our_words(signed_in: People, provider: Scripted, house: House, code: str, words: str) -> None:
    ada = signed_in("ada")
    state = parse_qs(urlsplit(begin(ada, ["accounts:read"])).query)["state"][0]
    page = back(ada, {"state": state, "error": code, "error_description": "call +1 555 to fix it", "iss": provider.url})
    assert page.status_code == 400
    assert words in page.text
    assert "555" not in page.text
    assert "<script>" not in page.text.split("<main", 1)[1]
    assert provider.codes == []
    assert connects_by(ada, again(page), provider)


def test_less_than_was_asked_for_is_told_stored_and_refused(signed_in: People, provider: Scripted, house: House) -> None:
    ada = signed_in("ada")
    provider.scopes = "accounts:read"
    done = attempt(ada, provider)
    page = ada.get(done.headers["Location"]).text
    assert "Not granted: See payees, send payments" in page
    [row] = rows(house, ada.person)
    assert row.scopes == ["accounts:read"]
    assert "Not allowed: Send payments" in page


HIDDEN = "\u202eevas\u2066"
MORE_THAN_ASKED = {
    "other names": ["Harmless.do-not-worry", "money:all"],
    "hostile ones": [f"see{HIDDEN}", "<b>bold</b>", 'quo"te', "back\\slash", "\x00"],
    "a long one": ["x" * 201, "y" * 200], "very many": [f"made:up:{number}" for number in range(3000)],
}


@pytest.mark.parametrize("found", MORE_THAN_ASKED.values(), ids=MORE_THAN_ASKED.keys())
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_more_than_was_asked_for_is_bounded_and_never_in_our_words(
    signed_in: People, provider: Scripted, house: House, found: list[str]
) -> None:
    """What is not kept by name is not forgotten: it counts as grave, as all that nobody described does."""
    ada = signed_in("ada")
    provider.scopes = " ".join([*found, "accounts:read"])
    assert attempt(ada, provider, ["accounts:read"]).status_code == 303
    [row] = rows(house, ada.person)
    assert len(row.scopes) <= SCOPES_KEPT
    assert "accounts:read" in row.scopes, "what is described is kept first"
    assert all(SCOPE.fullmatch(one) for one in row.scopes)
    usable = {one for one in found if SCOPE.fullmatch(one)}
    assert (UNREADABLE in row.scopes) is (usable != set(found) or len(found) >= SCOPES_KEPT)
    one, listed = ada.get(f"/connections/{row.id}").text, ada.get("/connections").text
    for name in set(row.scopes) - {"accounts:read", UNREADABLE}:
        assert f'<bdi class="mono">{escape(name)}</bdi> <span class="quiet">(not described in the catalogue)</span>' in one
        assert escape(name) not in listed, "no stranger's words among ours"
    assert ("More, under names that are not shown here" in one) is (UNREADABLE in row.scopes)
    assert re.search(r"[Ss]omething that nobody described|things that nobody described|[Mm]ore, under names", listed)
    assert HIDDEN not in one + listed


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_was_stored_before_is_shown_with_what_hides_made_visible(
    signed_in: People, provider: Scripted, house: House
) -> None:
    ada = signed_in("ada")
    assert attempt(ada, provider, ["accounts:read"]).status_code == 303
    [row] = rows(house, ada.person)
    house.database.write(lambda s: s.execute(update(Connection).values(scopes=["accounts:read", f"see{HIDDEN}<i>"])))
    page = ada.get(f"/connections/{row.id}").text
    boxed = '<span class="boxed mono" title="an invisible character">U+202E right-to-left override</span>'
    assert f'<bdi class="mono">see{boxed}evas' in page
    assert "&lt;i&gt;" in page
    assert HIDDEN not in page


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_more_is_asked_for_without_what_has_no_name(signed_in: People, provider: Scripted, house: House) -> None:
    ada = signed_in("ada")
    provider.scopes = "accounts:read bad\x00name"
    assert attempt(ada, provider, ["accounts:read"]).status_code == 303
    [row] = rows(house, ada.person)
    assert UNREADABLE in row.scopes
    sent = ada.send("/connections/new", connection=row.id, add="payees:read")
    assert parse_qs(urlsplit(sent.headers["Location"]).query)["scope"] == ["accounts:read payees:read"]


def test_a_state_that_was_used_leads_to_a_fresh_form(signed_in: People, provider: Scripted) -> None:
    """The page loaded again after a fault: the state is spent, but the person is not stuck."""
    ada = signed_in("ada")
    brought = came(begin(ada, ["accounts:read"]), provider)
    provider.redeeming.append(error(503))
    assert back(ada, brought).status_code == 502
    page = back(ada, brought)
    assert page.status_code == 400
    assert "Start again" in page.text
    assert len(provider.codes) == 1
    assert connects_by(ada, again(page), provider)


def test_without_the_vault_the_form_can_be_sent_again_as_it_was(
    signed_in: People, provider: Scripted, keeper: KeeperParts
) -> None:
    ada = signed_in("ada")
    brought = came(begin(ada, ["accounts:read"]), provider)
    keeper.stop_vault()
    try:
        page = back(ada, brought)
        assert page.status_code == 503
        assert "vault" in page.text.lower()
        form = ada.send("/connections/new", provider="harbour", scope=["accounts:read"])
        assert form.status_code == 503
        assert again(form).startswith("/connections/new?provider=harbour&scope=accounts")
    finally:
        keeper.start_vault()
    assert connects_by(ada, again(page), provider)


def test_another_account_on_a_reconnect_changes_nothing(signed_in: People, provider: Scripted, house: House) -> None:
    ada = signed_in("ada")
    attempt(ada, provider)
    [row] = rows(house, ada.person)
    provider.account = "acc-2"
    page = back(ada, came(begin(ada, connection=row.id), provider))
    assert page.status_code == 400
    assert "another account" in page.text
    assert f"connection={row.id}" in again(page)
    assert [one.account for one in rows(house, ada.person)] == ["acc-1"]


# -- mix-up, injection, PKCE -----------------------------------------------------------------------------------------


def test_a_code_is_never_taken_to_another_provider(signed_in: People, provider: Scripted, house: House) -> None:
    """Mix-up (RFC 9700 section 4.4): the attacker's provider answers for the honest one. With `iss` the answer is refused; a
    provider that names none has a callback of its own, and its answer is not taken at another's."""
    ada = signed_in("ada")
    with scripted() as evil:
        house.door.provider_put("plain", {**evil.record(), "issuer": "", "entry": "oauth"})
        assert attempt(ada, provider, iss=evil.url).status_code == 400
        sent = ada.send("/connections/new", provider="plain", scope=["profile"])
        brought = came(sent.headers["Location"], evil)
        del brought["iss"]
        assert parse_qs(urlsplit(sent.headers["Location"]).query)["redirect_uri"][0].endswith("/connections/callback/plain")
        assert back(ada, brought).status_code == 400
        assert back(ada, brought, "/connections/callback/harbour").status_code == 400
        assert back(ada, brought, "/connections/callback/github").status_code == 400
        assert (evil.codes, provider.codes, rows(house, ada.person)) == ([], [], [])
        assert back(ada, brought, "/connections/callback/plain").status_code == 303
        assert len(evil.codes) == 1


def test_an_injected_code_is_refused_by_the_provider_for_want_of_its_verifier(
    signed_in: People, bank: Provider, house: House
) -> None:
    """RFC 9700 section 4.5: mallory's code in ada's own, honest redirect. npm `oidc-provider` checks PKCE."""
    mallory, ada = signed_in("mallory"), signed_in("ada")
    stolen = bank.consent(begin(mallory), login_hint="mallory")["code"]
    page = back(ada, {**bank.consent(begin(ada)), "code": stolen})
    assert page.status_code == 400
    assert "did not accept the code" in page.text
    assert rows(house, ada.person) == []


def test_without_its_verifier_no_code_is_good_at_a_real_provider(signed_in: People, bank: Provider, house: House) -> None:
    """The other way round: the verifier of one attempt does not redeem the code of another of the same person."""
    ada = signed_in("ada")
    first, second = begin(ada), begin(ada)
    code = bank.consent(first)["code"]
    with house.database.read() as session:
        attempts = session.scalars(select(Attempt).where(Attempt.person == ada.person)).all()
    assert len(attempts) == 2
    page = back(ada, {**bank.consent(second), "code": code})
    assert page.status_code == 400
    assert "connection.connected" not in log(house)


REFUSE_PKCE_BESIDE_A_SECRET = {"linkedin", "slack", "slack-bot"}


def test_every_provider_is_asked_with_s256_but_those_known_to_refuse_it(signed_in: People, provider: Scripted) -> None:
    """Never with `plain`; the exceptions are the catalogue's, each with its source; without a secret there is none."""
    url = parse_qs(urlsplit(begin(signed_in("ada"))).query)
    assert url["code_challenge_method"] == ["S256"]
    for facts in load().values():
        if facts.kind == "key" or not facts.authorize_url:
            continue
        for secret in ("s", ""):
            request = Request()
            at = Endpoints(facts, "me", Secret(secret), authorize_url="https://provider.example/authorize")
            asked = parse_qs(urlsplit(authorization_url(at, request, redirect_uri="https://us.example/cb", scopes=["x"])).query)
            if secret and facts.name in REFUSE_PKCE_BESIDE_A_SECRET:
                assert facts.pkce_docs in facts.docs
                assert not {"code_challenge", "code_challenge_method"} & set(asked)
                continue
            digest = hashlib.sha256(request.verifier.encode()).digest()
            assert asked["code_challenge"] == [base64.urlsafe_b64encode(digest).rstrip(b"=").decode()], facts.name
            assert asked["code_challenge_method"] == ["S256"], facts.name


# -- one more scope --------------------------------------------------------------------------------------------------


def test_one_more_thing_is_asked_for_and_the_rest_stays(signed_in: People, bank: Provider, house: House) -> None:
    ada = signed_in("ada")
    connection = connect(ada, bank, ["accounts:read"])
    page = ada.get(f"/connections/new?connection={connection}&add=payments:send").text
    new, stays = page.split("Stays as it is")
    assert "Send payments" in new
    assert "See balances" in stays
    assert "Send payments" not in stays
    url = ada.send("/connections/new", connection=connection, add="payments:send").headers["Location"]
    assert set(parse_qs(urlsplit(url).query)["scope"][0].split()) == {"openid", "accounts:read", "payments:send"}
    back(ada, bank.consent(url))
    [row] = rows(house, ada.person)
    assert set(row.scopes) == {"openid", "accounts:read", "payments:send"}


def ticked(page: str, scope: str) -> bool | None:
    """Whether its box is ticked; None where nothing asks for it at all, and True where it goes with the form unseen."""
    found = re.search(rf'<input type="(checkbox|hidden)" name="(?:scope|add)" value="{re.escape(scope)}"( checked)?>', page)
    return None if found is None else found[1] == "hidden" or bool(found[2])


def test_a_link_ticks_nothing_grave_that_was_not_allowed_before(
    signed_in: People, bank: Provider, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody can write such an address, and an agent can send the person there. What only changes or reads goes with it."""
    ada = signed_in("ada")
    mild = providers.find(house.settings, "harbour").model_copy(update={"default_scopes": ("accounts:read",)})
    monkeypatch.setattr(providers, "find", lambda _settings, _name: mild)
    for named in ("scope", "add"):
        page = ada.get(f"/connections/new?provider=harbour&{named}=payments:send&{named}=payees:read").text
        assert (ticked(page, "payments:send"), ticked(page, "payees:read")) == (False, True), named
        assert page.count("asked for by the link") == 1, named
    connection = connect(ada, bank, ["accounts:read"])
    more = ada.get(f"/connections/new?connection={connection}&add=payments:send&add=payees:read").text
    assert (ticked(more, "payments:send"), ticked(more, "payees:read")) == (False, True)
    alone = ada.get(f"/connections/new?connection={connection}&add=payments:send").text
    assert ticked(alone, "payments:send") is False
    assert ada.send("/connections/new", provider="harbour", connection=connection).status_code == 400
    anew = ada.get(f"/connections/new?connection={connection}&scope=payments:send&scope=accounts:read").text
    assert (ticked(anew, "payments:send"), ticked(anew, "accounts:read")) == (False, True)
    granted = connect(ada, bank, ["accounts:read", "payments:send"], connection=connection)
    assert ticked(ada.get(f"/connections/new?connection={granted}").text, "payments:send") is True


def test_what_nobody_described_cannot_be_added(signed_in: People, bank: Provider) -> None:
    ada, mallory = signed_in("ada"), signed_in("mallory")
    connection = connect(ada, bank, ["accounts:read"])
    path = f"/connections/new?connection={connection}&add=admin:everything"
    assert ada.get(path).status_code == 400
    assert ada.send("/connections/new", connection=connection, add="admin:everything").status_code == 400
    assert mallory.get(f"/connections/new?connection={connection}&add=payments:send").status_code == 404
    assert mallory.send("/connections/new", connection=connection, add="payments:send").status_code == 404


def test_what_is_granted_already_is_not_asked_for_again(signed_in: People, bank: Provider) -> None:
    ada = signed_in("ada")
    connection = connect(ada, bank, SCOPES)
    page = ada.get(f"/connections/new?connection={connection}&add=accounts:read").text
    assert "Stays as it is" not in page
    assert "Reconnect Harbour Bank" in page
