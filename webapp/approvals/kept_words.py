"""Sentences of ours that a row or a signed document keeps in English, found again so that a page says them in its reader's
language: why an action is void or ended, and what changed. What is none of ours stays as it is.

Only what is on a list here is looked up where servers, agents or approvers write too: their words are never taken for ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vault.said import heard
from webapp.approvals.reasons import STOPPED
from webapp.approvals.tables import Action
from webapp.connections.lookup import UNUSABLE
from webapp.errors import Said, one_of_ours, said
from webapp.policy.amounts import why_said
from webapp.web.house import house

HOLE = re.compile(r"%\\\((\w+)\\\)s")
"""As `re.escape` leaves one."""
ENDED = (
    said("Nobody decided in time."), said("It was approved, but nobody picked the approval up in time."),
    said("It was confirmed, but nobody picked that up in time."),
    said("The program that ran it fell silent before it had an answer."),
    said("The program that ran it failed before it had an answer."), said("No answer came."),
    said("The program that gave the token out failed before it was handed over."), said("The server answered with an error."),
    said("It was approved before the instance was restored from a backup, and may have run since."),
    said("It was confirmed before the instance was restored from a backup, and may have run since."),
    said("Somebody had decided on it before the instance was restored from a backup."),
    said("Withdrawn by the person whose agent asked"), said("The agent closed its call."), said("The agent cancelled its call."),
    said("Its agent was reported, and its calls are paused."),
    said("Stopped, because something may be compromised."), said("Stopped before it ran."),
    said("It was a decoy: no agent asked for it, and nothing ran."),
    said("No access was given for it: %(hint)s"),
)
VOID = (
    said("The account's recipients were changed while it waited"), said("Its decisions do not verify"), said("It was rejected"),
    said("Somebody who decided on it is suspended"), said("The connected account is no longer the one that was shown"),
    said("It was run before"), said("It had ended before"), said("Policy refuses it now: %(rule)s"),
    said("Policy asks for more decisions now."), said("Policy asks for a longer time in which it can be stopped now."),
    said("Policy says something else of it now."), said("The server that asked was paused or revoked."),
    said("The agent's access was revoked."), said("What asks was reported, and its calls are paused."),
    said("The agent was reported, and its calls are paused."), said("The agent goes by another name than when it asked."),
    said("The server or the tool changed since it was held."), said("The account it would use changed since it was held."),
    said("The tool no longer takes these arguments: %(hint)s"),
    said("What the server is registered for changed since it was held."),
    said("What the person allowed the server changed since it was held."),
    said("What the token could do changed since it was held."),
    said("%(name)s, who approved it, is no longer in %(groups)s."),
    said("%(name)s approved it in a colleague’s place, and that is over."),
    said("%(name)s proposed other arguments, and that waits in its place. %(words)s"),
)
CLOSED = (
    said("%(name)s looked and found that it ran. %(words)s"), said("%(name)s looked and found that it did not run. %(words)s"),
    said("%(name)s looked and found that it ran."), said("%(name)s looked and found that it did not run."),
)
WHAT = (
    said("It needs"), said("Because"), said("Set of rules"), said("Groups of the person"), said("The agent is vouched for"),
    said("The agent has a certificate"), said("The server that asks"), said("What its person allowed it"), said("Registration"),
    said("Consent"), said("Account"), said("Agent"), said("Agent’s name"), said("Address of the server"),
    said("What was approved of the server"), said("Tool"), said("What it may do with the account"), said("More that changed"),
    said("Class"), said("Changes recipients"), said("Brings in what strangers write"), said("Where its facts are"),
    said("Credential"), said("Server"), said("What asks"), said("Its arguments"),
)
WHOSE = (said("Groups of %(name)s that it asks for"), said("In whose place %(name)s decides"))
SIDES = (
    said("active"), said("paused"), said("revoked"), said("gone"), said("none"), said("yes"), said("no"), said("listed"),
    said("no longer listed"), said("not connected, or not for this"), said("a colleague’s"), said("nobody’s"), said("refused"),
    said("(not there)"), said("nobody’s decision"), said("the owner’s confirmation"), said("No rule holds it"),
    said("%(count)s more"), said("reported"), said("approved"), said("not approved"), said("as the tool takes them"),
    said("not taken: %(hint)s"),
)
STEP = r" or (\S+) after ([0-9]+[smhd])"
NEED = re.compile(
    r"(?:([0-9]+) from (.+?)|the owner’s confirmation)(?: by (\w+))?( and the agent’s number)?"
    rf"((?:{STEP})*)(?: in ([0-6].*))?"
)
FACTORS = {"passkey": said("passkey"), "totp": said("authenticator code")}
SHORT = (
    said("It needs %(many)s from %(group)s, and nobody of that group has signed in here."),
    said("It needs the owner’s confirmation, and the owner is suspended."),
    said("It needs the owner’s confirmation, and the owner has no factor that counts for it."),
    said("It needs %(many)s from %(group)s, and nobody of the %(known)s known here can decide."),
    said("It needs %(many)s from %(group)s, and nobody of the %(known)s known here can decide (%(barred)s)."),
    said("It needs %(many)s from %(group)s, and %(able)s of the %(known)s known here can decide."),
    said("It needs %(many)s from %(group)s, and %(able)s of the %(known)s known here can decide (%(barred)s)."),
)
BARRED = (
    said("%(count)s asked for it or own what it uses"), said("%(count)s suspended"),
    said("%(count)s without a factor that counts"),
)
PRESETS = (
    said("Wrong recipient."), said("Wrong amount."), said("Nobody asked for this."), said("This looks like fraud."),
    said("This was done already."), said("Ask me first."),
)
"""Of `config_approvals`."""
TYPED = said("Three wrong numbers were typed.")
"""What the keeper signs as the reason (`vault.matching`)."""
UNDONE = said("Stopped before it ran.")


def _patterns(known: Iterable[Said]) -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(HOLE.sub(r"(?P<\1>.+)", re.escape(one)), re.DOTALL), str(one)) for one in known)


OF_ENDED, OF_VOID, OF_CLOSED, OF_WHAT, OF_SIDES = map(_patterns, (ENDED, (*VOID, *UNUSABLE), CLOSED, (*WHAT, *WHOSE), SIDES))
OF_SHORT, OF_BARRED = _patterns(SHORT), _patterns(BARRED)


def _found(text: str, patterns: Iterable[tuple[re.Pattern[str], str]]) -> Said | None:
    """The sentence with what it was filled with, where the text is one."""
    for pattern, msgid in patterns:
        if match := pattern.fullmatch(text):
            return heard(text, [msgid, "", "", {name: _value(name, value) for name, value in match.groupdict().items()}])
    return None


def _row(between: str, parts: Sequence[str]) -> Said:
    """Several in a row, each said in the reader's language."""
    return heard(between.join(parts), [between.join(f"%(p{at})s" for at in range(len(parts))), "", "", {
        f"p{at}": part for at, part in enumerate(parts)
    }])


def _value(name: str, value: str) -> str:
    """What is ours again, in a sentence; names, and what people wrote, are not."""
    if name == "barred":
        return _row(", ", [_found(part, OF_BARRED) or part for part in value.split(", ")])
    return one_of_ours(value, "rule" if name == "rule" else "") if name in ("rule", "hint") else value


def _large(text: str) -> str:
    return text[:1].upper() + text[1:]


def reason(text: str) -> str:
    """Why an action became void: what we say, and nobody else."""
    large = _large(text)
    return _found(large, OF_VOID) or one_of_ours(large)


def ended(action: Action) -> str:
    """Why it is as it is. Why a call failed may be in its server's words."""
    if action.state == "void":
        return reason(action.reason)
    return _found(_large(action.reason), OF_CLOSED if action.closed_by else OF_ENDED) or _large(action.reason)


def event(what: str, text: str) -> str:
    """Of an entry of the log: who decides gives reasons in their own words."""
    if what == "void":
        return reason(text)
    return _found(_large(text), OF_ENDED) or text if what in ("expired", "failed", "uncertain", "withdrawn") else text


def refusal(text: str, code: str) -> str:
    """A reason that was chosen, in the reader's language; what was added to it, as it was written. Without a code it is none of
    a person's own, and the keeper's; with that of a button it is the button's."""
    if not code and text == TYPED:
        return TYPED
    if code == STOPPED and text == UNDONE:
        return UNDONE
    chosen = house().settings.approvals.reject_reasons.get(code, "").strip()
    if not chosen or not text.startswith(chosen):
        return text
    return _row("", [one_of_ours(chosen), text[len(chosen):]])


def unreadable(why: str) -> str:
    """Why an amount cannot be read."""
    return why_said(why)


def shortage(text: str) -> str:
    """Who is missing of one group."""
    return _found(text, OF_SHORT) or text


def short(text: str) -> list[str]:
    """Who is missing, of a list's row: one sentence for each need."""
    return [shortage(part) for part in re.split(r"(?<=[.]) (?=It needs )", text)]


def what(row: Mapping[str, Any]) -> str:
    """Which thing changed: a server's own names are not ours to say."""
    return str(row["what"]) if row.get("theirs") else _found(str(row["what"]), OF_WHAT) or str(row["what"])


def side(row: Mapping[str, Any], name: str) -> str:
    """How it was, or is."""
    text = str(row[name])
    if row.get("theirs") or row["what"] == "Set of rules":
        return text
    if row["what"] == "Because":
        return _row("; ", [_found(part, OF_SIDES) or one_of_ours(part, "rule") for part in text.split("; ")])
    return needs(text) if row["what"] == "It needs" else _found(text, OF_SIDES) or text


def needs(text: str) -> str:
    """What a requirement asks for, as `drift.needs_in_words` says it."""
    return _row(", ", [_found(part, OF_SIDES) or _need(part) for part in text.split(", ")])


def _need(text: str) -> str:
    match = NEED.fullmatch(text)
    if match is None:
        return text
    many, group, factor, number, steps, _, _, hours = match.groups()
    found = said("%(count)s from %(group)s", count=many, group=group) if many else said("the owner’s confirmation")
    if factor:
        found = said("%(needed)s by %(factor)s", needed=found, factor=FACTORS.get(factor, factor))
    if number:
        found = said("%(needed)s and the agent’s number", needed=found)
    for other, after in re.findall(STEP, steps):
        found = said("%(needed)s or %(group)s after %(time)s", needed=found, group=other, time=after)
    return said("%(needed)s in %(hours)s", needed=found, hours=hours) if hours else found
