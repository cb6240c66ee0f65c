"""What we say is English everywhere but on a page, and what others say is never taken for ours."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from flask import Flask, g, render_template_string
from markupsafe import Markup, escape

from tests.pseudo import mirrored, pseudo
from vault.errors import BadRequest, KeeperError, Paused, named
from vault.said import carried, heard
from webapp.errors import BadInput, Said, nsaid, one_of_ours, psaid, said
from webapp.web import languages, words
from webapp.web.catalogue import ENGLISH, Tongue
from webapp.web.languages import Language, Spoken, told

NOON = datetime(2026, 11, 3, 11, 0, tzinfo=UTC)
GERMAN = Language("de", Tongue({
    ("", "Approve"): ("Genehmigen",),
    ("", "Keep it within %(most)s characters."): ("Höchstens %(most)s Zeichen.",),
    ("", "%(num)s action waits."): ("%(num)s Aktion wartet.", "%(num)s Aktionen warten."),
    ("of a call", "held"): ("angehalten",),
    ("", "Let <b>%(name)s</b> in?"): ("<b>%(name)s</b> hereinlassen?",),
    ("", "%(share)s of 100 %%"): ("%(share)s von 100 %%",),
    ("", "100 %%"): ("volle 100 %%",),
}))


@pytest.fixture
def page() -> Iterator[Flask]:
    app = Flask("test")
    words.register(app)
    app.extensions["languages"] = languages.Languages([Language("en", ENGLISH), GERMAN])
    with app.test_request_context():
        g.spoken = Spoken(GERMAN, "de")
        yield app


def test_it_is_english_wherever_text_is_wanted(page: Flask) -> None:
    hint = BadInput(said("Keep it within %(most)s characters.", most=5)).hint
    assert hint == str(hint) == f"{hint}" == "Keep it within 5 characters."
    assert json.loads(json.dumps({"hint": hint})) == {"hint": "Keep it within 5 characters."}
    assert copy.deepcopy(hint).__html__() == "Höchstens 5 Zeichen."


def test_a_page_says_it_in_the_readers_language(page: Flask) -> None:
    assert render_template_string("{{ it }}", it=said("Approve")) == "Genehmigen"
    assert render_template_string("<p title=\"{{ it }}\">", it=nsaid("%(num)s action waits.", "%(num)s actions wait.", 2)) == (
        '<p title="2 Aktionen warten.">'
    )
    assert told(nsaid("%(num)s action waits.", "%(num)s actions wait.", 1)) == "1 Aktion wartet."
    assert told(psaid("of a call", "held")) == "angehalten"
    assert told(psaid("of a hand", "held")) == "held"
    assert Markup("<p>{}</p>").format(said("Approve")) == "<p>Genehmigen</p>"


def test_a_time_among_the_values_stands_as_times_do(page: Flask) -> None:
    page.extensions["counterseal"] = SimpleNamespace(clock=lambda: NOON)
    it = said("It ended %(when)s, <b>%(name)s</b>.", when=NOON, name="<i>")
    assert render_template_string("{{ it }}", it=it) == (
        'It ended <time datetime="2026-11-03T11:00:00+00:00" title="3. November 2026, 11:00:00 UTC">at 11:00</time>, '
        "&lt;b&gt;&lt;i&gt;&lt;/b&gt;."
    )


def test_outside_of_a_page_it_is_english() -> None:
    assert str(escape(said("Approve"))) == "Approve"


def test_an_errors_sentence_needs_no_mark(page: Flask) -> None:
    assert render_template_string("{{ it }}", it=BadInput("Approve").hint) == "Genehmigen"
    assert render_template_string("{{ it }}", it=BadRequest("detail", hint="Approve").hint) == "Genehmigen"
    assert isinstance(Paused.hint, Said)
    assert isinstance(KeeperError().hint, Said)


def test_what_an_agent_wrote_is_never_translated_as_ours(page: Flask) -> None:
    """Attack: an agent gives "Approve" as its reason."""
    assert render_template_string("{{ it }} {{ _('Approve') }}", it="Approve") == "Approve Genehmigen"
    assert told("Approve") == "Approve"
    assert render_template_string("{% trans name=it %}Let <b>{{ name }}</b> in?{% endtrans %}", it="Approve") == (
        "<b>Approve</b> hereinlassen?"
    )
    assert told(said("Keep it within %(most)s characters.", most="Approve")) == "Höchstens Approve Zeichen."
    assert told(said("Keep it within %(most)s characters.", most=said("Approve"))) == "Höchstens Genehmigen Zeichen."


HOSTILE = ["<b>x</b>", "%(most)s", "%s", "100%", "\" onclick=\"x", "{{ 7*7 }}", "' & <script>"]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("language", [Language("en", ENGLISH), GERMAN, mirrored()], ids=["en", "de", "pseudo"])
def test_a_name_with_markup_or_placeholders_stays_a_name(page: Flask, name: str, language: Language) -> None:
    """Attack: a name that closes the sentence it stands in, in any language."""
    g.spoken = Spoken(language, language.tag)
    for source in ("{% trans name=it %}Let <b>{{ name }}</b> in?{% endtrans %}", "{{ _('Let <b>%(name)s</b> in?', name=it) }}"):
        shown = render_template_string(source, it=name)
        assert str(escape(name)) in shown
        assert shown.count("<") == 2
        assert '"' not in shown
    assert str(escape(name)) in render_template_string("{{ it }}", it=said("Keep it within %(most)s characters.", most=name))


def test_a_page_writes_per_cent_signs_as_they_are(page: Flask) -> None:
    assert render_template_string("{{ _('100 %%') }}, {{ _('%(share)s of 100 %%', share=3) }}") == "volle 100 %, 3 von 100 %"
    assert render_template_string("{% trans %}100 %{% endtrans %}") == "volle 100 %"


def test_a_macro_that_is_imported_without_context_speaks_too(page: Flask) -> None:
    page.jinja_env.loader = None
    macro = page.jinja_env.from_string("{% macro it() %}{{ _('Approve') }}{% endmacro %}")
    assert macro.module.it() == "Genehmigen"


def test_a_hint_crosses_the_door_with_its_values(page: Flask) -> None:
    error = BadRequest("detail", hint=said("Keep it within %(most)s characters.", most=5))
    answer = json.loads(json.dumps(error.answer()))
    again = named("decide", answer)
    assert type(again) is BadRequest
    assert (again.hint, told(again.hint)) == ("Keep it within 5 characters.", "Höchstens 5 Zeichen.")
    assert named("x", json.loads(json.dumps(Paused().answer()))).hint == Paused.hint


def test_what_is_said_within_a_hint_crosses_it_too(page: Flask) -> None:
    inner = said("Keep it within %(most)s characters.", most=5)
    error = BadRequest("detail", hint=said("So: %(why)s", why=inner))
    again = named("decide", json.loads(json.dumps(error.answer())))
    assert (again.hint, told(again.hint)) == ("So: Keep it within 5 characters.", "So: Höchstens 5 Zeichen.")
    assert heard("So: 7", ["So: %(why)s", "", "", {"why": [1, 2]}]).values == {}


@pytest.mark.parametrize("parts", [
    None, [], ["Approve"], ["%(x)s", "", "", {}], ["%(x)d", "", "", {"x": "a"}], ["Approve", "", "", {}], "Approve", 7,
    ["%", "", "", {"x": 1}], [1, 2, 3, 4],
])
def test_what_does_not_fit_its_text_is_left_out(parts: object) -> None:
    assert heard("Something else.", parts) == "Something else."
    assert carried(one_of_ours("Something else.")) == {}


def test_what_is_carried_comes_out_whole_with_what_we_say_inside_it() -> None:
    """As a row keeps it: a word of ours among the values is said in the reader's language, a stranger's stays."""
    whole = said("Keep it within %(most)s characters.", most=psaid("of a call", "held"))
    kept = json.loads(json.dumps(carried(whole)))["said"]
    again = heard(str(whole), kept)
    assert again == "Keep it within held characters."
    assert GERMAN.tongue.told(again) == "Höchstens angehalten Zeichen."
    stranger = said("Keep it within %(most)s characters.", most="held")
    assert GERMAN.tongue.told(heard(str(stranger), carried(stranger)["said"])) == "Höchstens held Zeichen."


def test_the_invented_language_keeps_tags_and_placeholders() -> None:
    assert pseudo("Let <b>%(name)s</b> in?").startswith("⟧Lët <b>%(name)s</b> ïñ?")
    assert len(pseudo("x" * 100)) >= 140
