"""A person's own security log: what is theirs, all of it, in words; and what happens when something was not them."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import select, text

from tests.app_parts import Browser, People
from tests.clock import Clock
from tests.webapp.people.test_factors import log
from tests.webapp.people.test_recovery import codes
from tests.webapp.people.test_sessions import inside
from tests.webapp.people.test_signed_out import proof, refused, told
from webapp import audit
from webapp.audit.tables import Entry
from webapp.backup import restored
from webapp.incidents import opening
from webapp.people import backchannel, readmission, security
from webapp.people.tables import Doubt
from webapp.web.house import House


def entry_of(house: House, browser: Browser, kind: str) -> str:
    with house.database.read() as session:
        return str(session.scalars(
            select(Entry.id).where(Entry.about == browser.person, Entry.kind == kind).order_by(Entry.id.desc())
        ).first())


def test_what_happened_is_there_in_words_the_newest_first(signed_in: People, house: House) -> None:
    ada = signed_in("ada")
    codes(ada)
    signed_in.add_passkey(ada, name="Blue key")
    gone = house.door.factors(ada.person)[0].id
    ada.send(f"/you/factors/{gone}/remove")
    ada.send("/sign-in/recovery", code="x")
    page = ada.get("/you/security").text
    order = [page.index(words) for words in (
        "Removed a second step", "Added a passkey", "Made new recovery codes", "Signed in at the identity provider",
    )]
    assert order == sorted(order)
    assert "Blue key" in page
    assert "/you/security" in ada.get("/you").text


def test_a_failed_second_step_and_a_session_ended_by_another_s_word_are_there(signed_in: People, house: House) -> None:
    signed_in("ada")
    thief = signed_in.first_step("ada")
    thief.send("/sign-in/recovery", code="aaaa-bbbb-cccc")
    assert signed_in.stranger().post(
        "/sign-in/backchannel-logout", data={"logout_token": signed_in.idp.logout_token(sub=signed_in.subject("ada"))}
    ).status_code == 200
    page = signed_in("ada").get("/you/security").text
    assert "A wrong recovery code was tried" in page
    assert "signed out at the identity provider" in page


def test_it_is_the_person_s_own_and_nobody_else_s(signed_in: People, house: House) -> None:
    ada, ben = signed_in("ada"), signed_in("ben", groups=["admin", "audit"])
    codes(ada)
    assert "recovery codes;" not in ben.get("/you/security").text
    theirs = entry_of(house, ada, "recovery.made")
    for answer in (ben.get(f"/you/security/{theirs}/not-me"), ben.send(f"/you/security/{theirs}/not-me")):
        assert answer.status_code == 404
    assert inside(ada)
    assert signed_in.stranger().get("/you/security").headers["Location"].startswith("/sign-in")
    assert signed_in.first_step("ada").get("/you/security").headers["Location"].startswith("/sign-in/second")


def test_it_goes_on_page_by_page(signed_in: People, house: House) -> None:
    ada = signed_in("ada")

    def many(session: object) -> None:
        for number in range(security.PAGE + 5):
            audit.append(session, kind="factor.added", actor=f"person:{ada.person}", subject="x", at=house.clock(),  # type: ignore[arg-type]
                         detail={"kind": "totp", "name": f"App {number:03}"})

    house.database.write(many)
    first = ada.get("/you/security").text
    older = re.search(r'href="(/you/security\?before=[^"]+)"', first)
    assert older
    second = ada.get(older.group(1)).text
    seen = re.findall(r"App \d{3}", first) + re.findall(r"App \d{3}", second)
    assert sorted(seen) == sorted({f"App {number:03}" for number in range(security.PAGE + 5)})
    assert "Nothing further" in ada.get("/you/security?before=ent_0").text


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_it_is_found_by_an_index_that_other_entries_are_not_in(house: House) -> None:
    asked = select(Entry).where(Entry.about == "per_a").order_by(Entry.id.desc()).limit(50)
    with house.database.read() as session:
        plan = " ".join(str(row) for row in session.execute(
            text("EXPLAIN QUERY PLAN " + str(asked.compile(session.get_bind(), compile_kwargs={"literal_binds": True})))
        ))
    assert "ix_audit_entries_about" in plan
    assert "TEMP B-TREE" not in plan


def test_this_was_not_me_signs_out_everywhere_and_tells_administrators(signed_in: People, house: House, clock: Clock) -> None:
    ada, there, root = signed_in("ada"), signed_in("ada"), signed_in("root", groups=["admin"])
    kept = proof(house, there)
    which = entry_of(house, ada, "session.opened")
    assert "This was not you?" in ada.get(f"/you/security/{which}/not-me").text
    done = ada.send(f"/you/security/{which}/not-me")
    assert "You are signed out everywhere" in done.text
    assert ada.get_cookie("counterseal_session") is None
    assert not inside(there)
    assert "people.signed_out" in told(house)
    assert refused(house, kept)
    page = root.get("/incidents").text
    assert "something was not them" in page
    assert "Signed in at the identity provider" in page
    assert f"name={ada.person}" in page
    again = signed_in("ada")
    again.send(f"/you/security/{which}/not-me")
    with house.database.read() as session:
        doubt = session.scalars(select(Doubt)).one()
    assert log(house).count("person.not_me") == 1
    assert root.send(f"/doubts/{doubt.id}/settle").status_code == 303
    assert "something was not them" not in root.get("/incidents").text
    assert root.send(f"/doubts/{doubt.id}/settle").status_code == 409


def test_who_said_it_and_who_is_no_administrator_does_not_settle_it(signed_in: People, house: House) -> None:
    """Attack: whoever is in an administrator's session makes it look as if somebody had looked into it."""
    root = signed_in("root", groups=["admin"])
    which = entry_of(house, root, "session.opened")
    root.send(f"/you/security/{which}/not-me")
    with house.database.read() as session:
        doubt = session.scalars(select(Doubt.id)).one()
    root = signed_in("root", groups=["admin"])
    assert "I have looked into it" not in root.get("/incidents").text
    assert root.send(f"/doubts/{doubt}/settle").status_code == 403
    assert signed_in("mate").send(f"/doubts/{doubt}/settle").status_code == 403


def test_what_another_did_is_not_doubted(signed_in: People, house: House) -> None:
    ada = signed_in("ada")
    ended = signed_in("ada")
    ada.send("/you/sessions/end-others")
    assert not inside(ended)
    which = entry_of(house, ada, "session.ended")
    assert f"{which}/not-me" not in ada.get("/you/security").text
    assert ada.send(f"/you/security/{which}/not-me").status_code == 404
    assert inside(ada)


def test_a_name_that_somebody_chose_is_text(signed_in: People) -> None:
    ada = signed_in("ada")
    signed_in.add_passkey(ada, name="<b>You must call 555</b>")
    page = ada.get("/you/security").text
    assert "<b>You must" not in page
    assert "<bdi class=\"their-words\">" in page


def test_each_end_of_a_session_is_said_in_a_sentence_that_can_be_translated() -> None:
    """And in English as the log has it."""
    known = {backchannel.WHY, readmission.WHY, security.WHY, opening.OUTCOME, restored.WHY}
    assert known <= security.ENDED.keys()
    for why, words in security.ENDED.items():
        assert words == (f"Signed out: {why}" if why not in ("", "signed out") else "Signed out")
        assert not words.values
    assert security.WORDS["session.ended"].what({"why": "for another reason"}) == "Signed out: for another reason"


@pytest.mark.parametrize(("kind", "detail", "words"), [
    ("recovery.used", {"left": 1}, "A recovery code was spent; 1 was left"),
    ("recovery.used", {}, "A recovery code was spent; some were left"),
    ("second_step.done", {"kind": "passkey"}, "Confirmed with a passkey"),
    ("second_step.done", {"kind": "another"}, "Confirmed with a second step"),
    ("connection.connected", {"provider": "%(num)s"}, "Connected an account at %(num)s"),
    ("consent.given", {}, "Allowed a server to use an account at a provider"),
])
def test_what_the_log_does_not_say_is_left_out(kind: str, detail: dict[str, object], words: str) -> None:
    assert security.WORDS[kind].what(detail) == words
