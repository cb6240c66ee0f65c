"""Whose security log an entry belongs to is told from the entry alone, and most belong to nobody's."""

from __future__ import annotations

from typing import Any

import pytest

from webapp.audit.whose import WHOSE, whose
from webapp.people.security import WORDS


@pytest.mark.parametrize(("kind", "actor", "subject", "detail", "found"), [
    ("session.opened", "person:per_a", "ses_1", {}, "per_a"),
    ("session.ended", "person:per_a", "ses_1", {}, "per_a"),
    ("session.ended", "system", "ses_1", {"person": "per_a"}, "per_a"),
    ("session.ended", "person:per_root", "ses_1", {"person": "per_a"}, "per_a"),
    ("session.ended", "system", "ses_1", {}, None),
    ("factor.added", "person:per_a", "ses_1", {}, "per_a"),
    ("factor.added", "client:c", "ses_1", {}, None),
    ("readmission.agreed", "person:per_root", "per_a", {}, "per_a"),
    ("sign_in.logged_out", "system", "sign_in", {}, None),
    ("oauth.revoked", "system", "grant_1", {"person": "per_a"}, "per_a"),
    ("delegation.ended", "person:per_b", "dlg_1", {"by": "per_a", "to": "per_b"}, "per_a"),
    ("incident.opened", "person:per_root", "inc_1", {"kind": "person", "about": "per_a"}, "per_a"),
    ("incident.opened", "person:per_root", "inc_1", {"kind": "client", "about": "client_1"}, None),
    ("call.allowed", "client:c", "per_a", {"person": "per_a"}, None),
    ("action.held", "person:per_a", "act_1", {}, None),
])
def test_it_is_told_from_the_entry(kind: str, actor: str, subject: str, detail: dict[str, Any], found: str | None) -> None:
    assert whose(kind, actor, subject, detail) == found


def test_each_kind_that_is_somebodys_has_words_and_no_others_do() -> None:
    assert set(WORDS) == set(WHOSE)
