"""A token client gets no more than was judged and shown, for the account that was meant, and nobody hides behind it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import delete, select, update

from tests import token_parts
from tests.app_parts import People
from tests.scripted_provider import Handler
from tests.webapp.exchange.conftest import SCOPES, Scene
from webapp.broker.jobs import jobs
from webapp.broker.tables import Lease
from webapp.clients import permissions, status
from webapp.clients.tables import Client
from webapp.connections import consents
from webapp.db.due import Due
from webapp.policy import active
from webapp.web.house import House

VOUCHED_ONLY = """
@id("vouched-only")
@reason("Agents that nobody vouched for get nothing")
forbid (principal, action == Action::"call", resource) unless { context.caller.verified };
"""


@pytest.fixture
def vouched_only(scene: Scene) -> Iterator[None]:
    """An operator's own rule. The folder is the keeper's too, and outlives this test."""
    house, file = scene.house, scene.house.settings.instance / "policies" / "vouched-only.cedar"
    file.parent.mkdir(exist_ok=True)
    file.write_text(VOUCHED_ONLY)
    house.database.write(lambda s: active.activate(s, active.reload(house.settings), "test", house.clock()))
    yield
    file.unlink()
    active.reload(house.settings)


def vouch(house: House, *names: str) -> None:
    house.database.write(lambda s: s.execute(update(Client).where(Client.name.in_(names)).values(verified=True)))


@pytest.mark.usefixtures("vouched_only")
def test_an_agent_nobody_vouched_for_does_not_hide_behind_a_server_that_is(scene: Scene) -> None:
    vouch(scene.house, "Issue Desk")
    refused = scene.desk.exchange(scene.subject)
    assert refused.json["error"] == "access_denied", refused.text
    vouch(scene.house, "Ledger Agent")
    assert scene.desk.exchange(scene.subject).status_code == 200


@pytest.mark.usefixtures("vouched_only")
def test_a_held_request_is_void_when_the_agent_behind_it_lost_its_vouching(scene: Scene) -> None:
    vouch(scene.house, "Issue Desk", "Ledger Agent")
    request, _ = scene.approved()
    scene.house.database.write(lambda s: s.execute(update(Client).where(Client.name == "Ledger Agent").values(verified=False)))
    assert scene.desk.poll(request).json["error"] == "access_denied"


def test_a_token_that_can_read_what_the_consent_leaves_out_is_not_handed_out(scene: Scene) -> None:
    """The provider is said to narrow and does not: the page told nobody that the client gets to read the payees too."""
    narrow = ("accounts:read",)
    token_parts.allow(scene.house, scene.desk, scene.ada.person, scene.account, scopes=narrow)
    scene.provider.ignores_scope, scene.provider.scopes = True, "accounts:read payees:read"
    refused = scene.desk.exchange(scene.subject)
    assert (refused.status_code, refused.json["error"]) == (400, "invalid_scope"), refused.text
    assert "access-secret" not in refused.text


def test_an_account_that_cannot_be_renewed_has_one_token_and_it_is_not_handed_out_for_less(scene: Scene) -> None:
    scene.provider.expires_in = None
    scopes = ("accounts:read", "payees:read")
    account = token_parts.account(scene.house, scene.provider, scene.ada.person, scopes=scopes)
    token_parts.allow(scene.house, scene.desk, scene.ada.person, account, scopes=("accounts:read",))
    refused = scene.desk.exchange(scene.subject)
    assert (refused.status_code, refused.json["error"]) == (400, "invalid_scope"), refused.text
    token_parts.allow(scene.house, scene.desk, scene.ada.person, account, scopes=scopes)
    assert scene.desk.exchange(scene.subject, scope=" ".join(scopes)).status_code == 200


def test_an_approved_token_does_what_was_shown_and_no_more(scene: Scene) -> None:
    request, _ = scene.approved()
    scene.provider.ignores_scope, scene.provider.scopes = True, "notes:write accounts:read"
    refused = scene.desk.poll(request)
    assert refused.json["error"] == "access_denied", refused.text
    assert "access-secret" not in refused.text


def test_a_teammate_cannot_slip_an_account_of_their_own_under_a_servers_own_work(scene: Scene, signed_in: People) -> None:
    """Attack: mallory gives the server an account after ada did, and its next backup goes there."""
    token_parts.allow(scene.house, scene.desk, scene.ada.person, scene.account, scopes=SCOPES, kind="service")
    assert scene.desk.own().status_code == 200
    mallory = signed_in("mallory")
    other = token_parts.account(scene.house, scene.provider, mallory.person, scopes=SCOPES)
    token_parts.allow(scene.house, scene.desk, mallory.person, other, scopes=SCOPES, kind="service")
    refused = scene.desk.own()
    assert refused.json["error"] == "invalid_target", refused.text
    named = scene.desk.own(resource=f"{scene.house.settings.public_url}/connections/{scene.account}")
    assert named.status_code == 200, named.text


def work_off(house: House, *kinds: str) -> None:
    for kind in kinds:
        with house.database.read() as session:
            rows = session.scalars(select(Due).where(Due.kind == kind)).all()
        assert rows, kind
        for row in rows:
            jobs[kind](house, row)


def test_what_a_revoked_client_still_holds_is_ended_at_the_provider(scene: Scene) -> None:
    """An admin shuts out a server that was broken into: its next request is refused here, and its tokens there."""
    given = scene.desk.exchange(scene.subject).json
    scene.house.database.write(lambda s: status.change(s, scene.desk.id, "revoke", actor="test", now=scene.house.clock()))
    assert scene.desk.exchange(scene.subject).status_code == 401
    work_off(scene.house, status.SHUT_OUT, consents.WITHDRAWN)
    assert given["access_token"] in [one["token"] for one in scene.provider.revoked]
    with scene.house.database.read() as session:
        assert consents.of_connection(session, scene.account) == []
        assert session.get_one(Lease, given["lease_id"]).state == "closed"


def test_what_a_paused_client_still_holds_is_ended_and_a_resumed_one_goes_on(scene: Scene) -> None:
    given, house = scene.desk.exchange(scene.subject).json, scene.house
    house.database.write(lambda s: status.change(s, scene.desk.id, "pause", actor="test", now=house.clock()))
    work_off(house, status.SHUT_OUT, consents.WITHDRAWN)
    assert given["access_token"] in [one["token"] for one in scene.provider.revoked]
    house.database.write(lambda s: status.change(s, scene.desk.id, "resume", actor="test", now=house.clock()))
    with house.database.read() as session:
        assert (session.get_one(Lease, given["lease_id"]).state, session.get_one(Lease, given["lease_id"]).outcome) == (
            "closed", "server paused"
        )
    again = scene.desk.exchange(scene.subject)
    assert again.status_code == 200, again.text
    assert again.json["access_token"] != given["access_token"]


def test_what_a_client_holds_and_may_no_longer_ask_for_is_ended(scene: Scene) -> None:
    """Asking for something else instead ends nothing where all it has stays allowed."""
    given, house = scene.desk.exchange(scene.subject).json, scene.house

    def allow(*scopes: str) -> None:
        allowed = [permissions.Allow("harbour", list(scopes))]
        house.database.write(lambda s: permissions.put(s, scene.desk.id, allowed, actor="test", now=house.clock()))

    allow(*SCOPES, "more:read")
    with house.database.read() as session:
        assert session.scalars(select(Due).where(Due.kind == status.SHUT_OUT)).all() == []
    allow("payees:read")
    work_off(house, status.SHUT_OUT, consents.WITHDRAWN)
    assert given["access_token"] in [one["token"] for one in scene.provider.revoked]
    assert scene.desk.exchange(scene.subject, scope="payees:read").status_code == 200


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("before", "after", "ends"), [
    ((["a", "b"], []), (["a"], []), True), (([], []), (["a"], []), True), (([], ["x", "y"]), ([], ["y"]), True),
    ((["a"], ["x"]), (["a", "b"], ["x", "y"]), False), ((["a"], []), (["a"], []), False),
])
def test_what_a_client_holds_for_tools_it_may_no_longer_name_is_ended(
    scene: Scene, before: tuple[list[str], list[str]], after: tuple[list[str], list[str]], ends: bool
) -> None:
    """Nobody here sees for which of its tools a server uses a token that it holds."""
    house, given = scene.house, scene.desk.exchange(scene.subject).json

    def allow(tools: list[str], resources: list[str]) -> None:
        allowed = [permissions.Allow("harbour", list(SCOPES), tools, resources), permissions.Allow("wide", ["accounts:read"])]
        house.database.write(lambda s: permissions.put(s, scene.desk.id, allowed, actor="test", now=house.clock()))

    allow(*before)
    house.database.write(lambda s: s.execute(delete(Due).where(Due.kind == permissions.BOUND)))
    allow(*after)
    with house.database.read() as session:
        asked = session.scalars(select(Due.key).where(Due.kind == permissions.BOUND)).all()
        assert session.scalars(select(Due).where(Due.kind == status.SHUT_OUT)).all() == []
    assert asked == ([f"{scene.desk.id} harbour"] if ends else [])
    if ends:
        work_off(house, permissions.BOUND, consents.WITHDRAWN)
        with house.database.read() as session:
            lease = session.get_one(Lease, given["lease_id"])
            assert (lease.state, lease.outcome) == ("closed", "server may ask for less")
            assert consents.live(session, scene.desk.id, scene.account) is not None, "the person's word stands"
    assert (given["access_token"] in [one["token"] for one in scene.provider.revoked]) is ends


def test_a_token_that_was_on_its_way_when_the_consent_was_withdrawn_is_ended_too(scene: Scene) -> None:
    """Attack: a client keeps a slow request under way, and is given a token after the person took back what it rests on."""
    house = scene.house

    def withdraw(_handler: Handler) -> bool:
        house.database.write(lambda s: consents.withdraw(s, scene.consent, scene.ada.person, house.clock()))
        work_off(house, consents.WITHDRAWN)
        return False

    scene.provider.before.append(withdraw)
    given = scene.desk.exchange(scene.subject)
    assert given.status_code == 200, given.text
    work_off(house, consents.WITHDRAWN_SINCE)
    assert given.json["access_token"] in [one["token"] for one in scene.provider.revoked]


def test_consents_for_calls_in_other_peoples_names_do_not_count_for_own_use(scene: Scene) -> None:
    assert scene.desk.own().json["error"] == "invalid_target"
