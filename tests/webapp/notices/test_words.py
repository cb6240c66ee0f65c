"""What a message says."""

from __future__ import annotations

import pytest

from webapp.notices import outward, words
from webapp.notices.words import Told
from webapp.web.languages import Language

URL = "https://seal.example"


def test_it_counts_by_server_and_class_and_begins_with_what_is_most_urgent() -> None:
    told = [Told("approve", "Bank", "money")] * 2 + [Told("approve", "Mail", "send"), Told("expiring", "Bank", "money")]
    made = words.message(told, URL)
    assert made.title == "Counterseal: 1 action lapses soon, undecided"
    assert made.lines == (
        "1 action lapses soon, undecided:", "- 1 at Bank (money)",
        "3 actions wait for approval:", "- 2 at Bank (money)", "- 1 at Mail (sending)",
    )
    assert made.body.endswith("\nhttps://seal.example/actions")


def test_many_servers_are_cut_short() -> None:
    made = words.message([Told("approve", f"Server {number:02}", "read") for number in range(20)], URL)
    assert len(made.lines) == words.LINES + 2
    assert made.lines[-1] == "- and at 12 more"


@pytest.mark.parametrize(("kind", "link"), [
    ("security", "/you"), ("outcome", "/history"), ("approve", "/actions"), ("uncertain", "/actions"), ("incident", "/"),
    ("stuck", "/"),
])
def test_the_link_leads_to_a_page_that_asks_for_sign_in_and_does_nothing(kind: str, link: str) -> None:
    assert words.message([Told(kind, "", "")], URL).body.endswith(f"\n{URL}{link}")


@pytest.mark.parametrize("name", [
    "<!channel>", "@everyone", "[click](https://evil.example)", "*bold* `code`", "<https://evil.example|bank>", "a\nb\r\nc",
    "_x_", "\u202eknab", "evil.example", "\x1b[31m",
])
def test_a_name_makes_nothing_happen_in_a_chat(name: str) -> None:
    """Attack: a server registered by a name that calls everybody, links elsewhere, or begins a line of its own."""
    line = words.message([Told("approve", name, "money")], URL).lines[1]
    assert not set("<>@[]*`_|:./\\\n\r\u202e\x1b") & set(line), line


@pytest.mark.parametrize("failure", [
    "The service could not be reached.", "The service did not take the message. (It answered 503.)", "",
    "Something else. (It answered 20.)",
])
def test_what_is_kept_of_a_failure_is_said_as_it_was(failure: str) -> None:
    assert outward.retold(failure) == failure


def test_a_failure_is_retold_in_the_readers_language() -> None:
    answer = outward.Answer("refused", 503)
    german = Language("de").tongue
    told = german.told(outward.retold(str(answer.words)))
    assert told == "Der Dienst hat die Nachricht nicht angenommen. (Er antwortete mit 503.)"


def test_a_name_of_nothing_else_is_a_server() -> None:
    assert words.plain("@@@") == "a server"


def test_what_was_stored_is_read_as_counts_and_says_nothing_else() -> None:
    """Attack: whoever can write to the database writes a message of their own, with a link of their own."""
    told = [Told("approve", "Bank", "money")] * 2 + [Told("security", "", "")]
    assert words.read(words.written(told), URL) == words.message(told, URL)
    forged = {
        "told": [
            ["approve", "pay at https://evil.example/x", "<b>", 1], ["sing", "", "", 3], ["expiring", "Bank", "money", 10**9],
        ],
        "title": "Come to https://evil.example", "path": "https://evil.example",
    }
    made = words.read(forged, URL)
    assert made.lines == (
        "1000 actions lapse soon, undecided:", "- 1000 at Bank (money)", "1 action waits for approval:",
        "- 1 at pay at https evil example x (not classified)",
    )
    assert (made.title, made.path) == ("Counterseal: 1000 actions lapse soon, undecided", "/actions")
    assert words.read({"told": []}, URL).title == "Counterseal"
