"""How one value became another is said in the reader's language, with numbers as they write them."""

from __future__ import annotations

import pytest
from markupsafe import escape

from tests.catalogues import TAGS
from tests.webapp.approvals.reading import Reads, in_catalogue
from webapp.approvals.change_words import SCRIPTS, how, summary


@pytest.mark.parametrize("language", TAGS)
@pytest.mark.parametrize(("before", "now", "msgid"), [
    (None, "1", "was not there before"), ("1", None, "left out"), ("a", "b", "changed"),
    ("480", "480.00", "the same number, written differently"), ("Ada  B", "ada b", "only spaces or capitals changed"),
    ("paypal", "pаypal", "looks the same, and is not"),
])
def test_what_changed_is_said_in_the_readers_language(
    reads: Reads, language: str, before: str | None, now: str | None, msgid: str
) -> None:
    with reads(language):
        assert in_catalogue(msgid) != msgid
        assert str(escape(how(before, now))) == str(escape(in_catalogue(msgid)))


@pytest.mark.parametrize(("language", "written"), [
    ("en", ("2.4", "12.5", "33.3", "1,234.5")), ("de", ("2,4", "12,5", "33,3", "1.234,5")),
    ("fr", ("2,4", "12,5", "33,3", "1\u202f234,5")),
])
def test_how_much_more_or_less_is_written_as_its_reader_writes_numbers(
    reads: Reads, language: str, written: tuple[str, ...]
) -> None:
    """2.4 times is not 24 times, and a German reader takes the point for one that parts thousands."""
    times, more, less, many = written
    with reads(language):
        assert [str(escape(how(*pair))) for pair in (("100", "240"), ("100", "112.5"), ("30", "20"), ("2", "2469"))] == [
            in_catalogue("%(times)s times as much", times=times), in_catalogue("%(percent)s %% more", percent=more),
            in_catalogue("%(percent)s %% less", percent=less), in_catalogue("%(times)s times as much", times=many),
        ]


@pytest.mark.parametrize("language", TAGS)
def test_a_summary_is_a_sentence_of_that_language(reads: Reads, language: str) -> None:
    with reads(language):
        listed = in_catalogue("%(first)s and %(last)s", first="amount, fee", last="payee")
        assert str(escape(summary(["amount", "fee", "payee"], every=False))) == in_catalogue("Changed: %(names)s.", names=listed)
        assert str(escape(summary(["fee"], every=True))) == in_catalogue("All of it changed: %(names)s.", names="fee")
        same = in_catalogue("Nothing changed: all of it is the same as then.")
        assert (str(escape(summary([], every=False))), same != summary([], every=False)) == (same, True)


def test_a_strangers_names_stay_as_they_are(reads: Reads) -> None:
    """Attack: an argument called `changed`, or with markup in it."""
    with reads("de"):
        assert str(escape(summary(["changed"], every=True))) == in_catalogue("All of it changed: %(names)s.", names="changed")
        assert "<b>" not in escape(summary(["<b>", "fee"], every=False))


def test_scripts_are_named_in_the_readers_language(reads: Reads) -> None:
    with reads("de"):
        assert {name: str(escape(word)) for name, word in SCRIPTS.items()} == {
            name: in_catalogue(name, "script") for name in SCRIPTS
        }
        assert str(escape(SCRIPTS["Cyrillic"])) != "Cyrillic"
