"""The auditors' page says who did what, and shows text from strangers as text."""

from __future__ import annotations

from tests.app_parts import People
from webapp import audit
from webapp.web.house import House


def test_an_auditor_reads_who_did_what(signed_in: People, house: House) -> None:
    eve = signed_in("eve", groups=["audit"])
    house.database.write(lambda s: audit.append(
        s, kind="tool.listed", actor="client:client_1", subject="tool_1",
        detail={"said": "<script>alert(1)</script>\u202egnp"}, at=house.clock(),
    ))
    audit.sequence(house)
    page = eve.get("/log").text
    assert "Session opened" in page
    assert "by Eve" in page or f"by {eve.person}" not in page
    assert "<script>alert(1)" not in page
    assert "U+202E" in page
    assert "Tool listed" not in eve.get("/log?kind=session.").text
    assert "Tool listed" in eve.get("/log?subject=tool_1").text
    assert "No entry matches" in eve.get("/log?kind=%25").text


def test_older_entries_are_a_page_away(signed_in: People, house: House) -> None:
    eve = signed_in("eve", groups=["audit"])

    def many(session: object) -> None:
        for number in range(60):
            audit.append(session, kind="a.b", actor="system", subject="s", detail={"n": number}, at=house.clock())  # type: ignore[arg-type]

    house.database.write(many)
    first = eve.get("/log?subject=s").text
    older = first.split("&amp;before=")[1].split('"')[0]
    second = eve.get(f"/log?subject=s&before={older}").text
    assert (first.count("A b<"), second.count("A b<")) == (50, 10)
