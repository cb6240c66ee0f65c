"""The catalogues hold exactly what is said, and a translation can do nothing that English does not do."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.catalogues import TAGS, extracted, wanted
from webapp.web.catalogue import FOLDER, Key, complete, files, load, read

TAG = re.compile(r"<[^<>]*>")
HOLE = re.compile(r"%\(\w+\)[a-z]")
ENTITY = re.compile(r"&(?!(amp|lt|gt|nbsp|shy|#\d+);)")
PATTERN = re.compile(r"[a-zA-Z]+")


@pytest.mark.parametrize("language", TAGS)
def test_they_hold_what_is_said_and_nothing_else(language: str) -> None:
    """`make catalogues` brings them up to date."""
    expected = {path.name: text for path, text in wanted(language).items()}
    found = {path.name: path.read_text("utf-8") for path in files(language)}
    assert sorted(found) == sorted(expected)
    assert [name for name, text in expected.items() if found[name] != text] == []


def _translated(language: str) -> list[tuple[Path, Key, str, str]]:
    """Each form of each sentence with the English that it has to be like."""
    many = {(room, one.key): one.many for room, said in extracted().items() for one in said}
    return [
        (path, key, form, many.get((path.stem, key)) or key[1] if at else key[1])
        for path in files(language) for key, forms in read(path).items() if key[1] for at, form in enumerate(forms) if form
    ]


@pytest.mark.parametrize("language", TAGS)
def test_a_translation_opens_no_tag_that_english_does_not_have(language: str) -> None:
    """Attack: a translator's text with a script or an address of its own, or one that ends the attribute it stands in."""
    wrong = []
    for path, key, form, english in _translated(language):
        same = Counter(TAG.findall(form)) == Counter(TAG.findall(english)) and _nested(form) >= _nested(english)
        bare = TAG.sub("", form)
        signs = set('<>"') & set(bare) - set(TAG.sub("", english))
        if not same or signs or (ENTITY.search(bare) and not ENTITY.search(english)):
            wrong.append((path.name, key[1]))
    assert wrong == []


def _nested(text: str) -> bool:
    inside: list[str] = []
    for tag in TAG.findall(text):
        name = tag.strip("</>").split()[0]
        if not tag.startswith("</"):
            inside += [] if name in ("br", "wbr") else [name]
        elif not inside or inside.pop() != name:
            return False
    return not inside


@pytest.mark.parametrize("language", TAGS)
def test_a_translation_has_the_values_that_english_has(language: str) -> None:
    """A plural may leave out the number, as English may: "a day", "one minute"."""
    wrong = []
    for path, key, form, english in _translated(language):
        found, there = set(HOLE.findall(form)), set(HOLE.findall(english)) | set(HOLE.findall(key[1]))
        if found - there or (there - found) - {"%(num)s", "%(num)d"} or ("%" in HOLE.sub("", form.replace("%%", ""))) != (
            "%" in HOLE.sub("", english.replace("%%", ""))
        ):
            wrong.append((path.name, key[1]))
    assert wrong == []


@pytest.mark.parametrize("language", TAGS)
def test_a_pattern_of_a_time_has_the_fields_that_english_has(language: str) -> None:
    for _path, key, form, english in _translated(language):
        if key[0].startswith("pattern "):
            quoted = re.sub(r"'[^']*'", "", form)
            assert sorted(PATTERN.findall(quoted)) == sorted(PATTERN.findall(english))


@pytest.mark.parametrize("language", TAGS)
def test_a_sentence_is_translated_in_one_way(language: str) -> None:
    found: dict[Key, set[tuple[str, ...]]] = {}
    for path in files(language):
        for key, forms in read(path).items():
            found.setdefault(key, set()).add(forms)
    assert {key: forms for key, forms in found.items() if len(forms) > 1 and key[1]} == {}


@pytest.mark.parametrize(("language", "english", "never"), [
    ("de", r"\bpaus", r"angehalten|anhalt|\bhält\b"), ("de", "suspend", "angehalten|pausier"),
    ("de", r"\bheld\b", "pausier|gesperrt"), ("fr", "suspend", "suspend"),
    ("fr", r"\bheld\b", "suspend|bloqu"), ("fr", r"\bpaus", "bloqu|en pause"),
])
def test_held_paused_and_suspended_are_told_apart(language: str, english: str, never: str) -> None:
    """Whoever reads that an agent is suspended must not take it for a pause."""
    wrong = [
        (key[1], form) for path in files(language) for key, forms in read(path).items() for form in forms
        if re.search(english, key[1], re.I) and re.search(never, form, re.I)
    ]
    assert wrong == []


PO = 'msgid ""\nmsgstr ""\n"Plural-Forms: nplurals=2; plural=(n > 1);\\n"\n\n'


@pytest.mark.parametrize(("text", "whole"), [
    ('msgid "a"\nmsgstr "b"\n', True),
    ('msgid "a"\nmsgstr ""\n', False),
    ('msgid "a"\nmsgstr ""\n"b"\n', True),
    ('#, fuzzy\nmsgid "a"\nmsgstr "b"\n', False),
    ('#, fuzzy, python-format\nmsgid "a"\nmsgstr "b"\n', False),
    ('msgid "a"\nmsgid_plural "as"\nmsgstr[0] "b"\nmsgstr[1] ""\n', False),
    ('msgid "a"\nmsgid_plural "as"\nmsgstr[0] "b"\nmsgstr[1] "bs"\n', True),
])
def test_a_language_is_whole_when_all_is_translated_and_nothing_guessed(tmp_path: Path, text: str, *, whole: bool) -> None:
    folder = tmp_path / "xx" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    assert not complete("xx", tmp_path)
    (folder / "a.po").write_text(PO + 'msgid "z"\nmsgstr "y"\n')
    (folder / "b.po").write_text(PO + text)
    assert complete("xx", tmp_path) is whole
    assert load("xx", tmp_path).form("", "z") == "y"


def test_plurals_follow_the_language(tmp_path: Path) -> None:
    """French says "0 jour", English "0 days"."""
    folder = tmp_path / "fr" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    sentence = 'msgid "%(num)s day"\nmsgid_plural "%(num)s days"\nmsgstr[0] "%(num)s jour"\nmsgstr[1] "%(num)s jours"\n'
    (folder / "a.po").write_text(PO + sentence)
    french = load("fr", tmp_path)
    assert [french.ngettext("%(num)s day", "%(num)s days", num) for num in (0, 1, 2)] == ["0 jour", "1 jour", "2 jours"]


def test_they_come_along_in_the_wheel() -> None:
    """The wheel holds everything that is in the package's folder; only what git leaves out is left out."""
    assert FOLDER.parent.name == "webapp"
    assert all(path.suffix == ".po" for language in TAGS for path in files(language))
