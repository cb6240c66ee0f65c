"""The errors that may come through the door. Each has a stable `code`, a public `hint` and a private `detail`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vault.said import carried, heard, one_of_ours


class KeeperError(Exception):
    """Root of everything the keeper refuses or cannot do. `hint` may be shown to a person; `detail` goes to the log only.

    A hint is a sentence of ours: what others wrote is one of its values, `hint=said("%(where)s answered …", where=…)`."""

    code = "keeper_error"
    hint: str = one_of_ours("The keeper could not do this.")

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.hint = one_of_ours(cls.hint)

    def __init__(self, detail: str = "", *, hint: str | None = None) -> None:
        super().__init__(detail or self.code)
        self.detail = detail
        if hint is not None:
            self.hint = one_of_ours(hint)

    def answer(self) -> dict[str, Any]:
        """As it crosses the door; `named` makes it again."""
        return {"error": self.code, "hint": self.hint, **carried(self.hint)}


class VaultSealed(KeeperError):
    code = "vault_sealed"
    hint = "The vault is sealed. Nothing that needs a credential can run until an operator unseals it; nothing was lost."


class VaultAway(KeeperError):
    code = "vault_away"
    hint = "The vault does not answer. Nothing that needs a credential can run until it is back; nothing was lost."


class KeeperAway(KeeperError):
    code = "keeper_away"
    hint = "The keeper does not answer. Nothing that needs a credential can run until it is back; nothing was lost."


class BadRequest(KeeperError):
    """What was asked is malformed: a programming error or an attack."""

    code = "bad_request"
    hint = "The request was not understood."


class NotKnown(KeeperError):
    """No such connection, factor, provider or person in the vault."""

    code = "not_known"
    hint = "The vault has no such record."


class Stale(KeeperError):
    """A sealed attempt, challenge or ticket is too old or was used already."""

    code = "stale"
    hint = "This took too long or was already used. Start again."


class FactorRefused(KeeperError):
    """Wrong code, a code used twice, an assertion that does not verify, or a factor that may not be used for this."""

    code = "factor_refused"
    hint = "That code or passkey was not accepted."


class FactorTooYoung(FactorRefused):
    code = "factor_too_young"
    hint = "This factor was enrolled less than 24 hours ago and cannot approve yet."


class MatchRefused(FactorRefused):
    """The number that was typed is not the one that the agent's screen shows for this action."""

    code = "match_refused"
    hint = "That is not the number of this call."


class NotSignedIn(KeeperError):
    """The session ticket does not verify, has expired, or belongs to another session."""

    code = "not_signed_in"
    hint = "Sign in again."


class SessionEnded(NotSignedIn):
    """The session was ended here or at the identity provider: its ticket verifies, and counts for nothing."""

    code = "session_ended"
    hint = "This session was ended. Sign in again."


class MayNotDecide(KeeperError):
    """The person may not give this decision on this action: their own request, or not in the group."""

    code = "may_not_decide"
    hint = "You cannot give this decision on this action."


class NotApproved(KeeperError):
    """The statements do not satisfy the envelope's requirement, do not verify, or were spent already."""

    code = "not_approved"
    hint = "The approval does not cover this call."


class ScopeRefused(KeeperError):
    """The scopes are wider than granted, or need evidence that did not come with the request."""

    code = "scope_refused"
    hint = "The connected account does not allow this."


class NeedsConsent(KeeperError):
    """The provider refused the stored grant for good (`invalid_grant`), or its answer was lost: the person reconnects."""

    code = "needs_consent"
    hint = "The provider no longer accepts this connection. Reconnect the account."


class Disconnected(KeeperError):
    """The connection was revoked here."""

    code = "disconnected"
    hint = "This account was disconnected. Connect it again to go on."


class Paused(KeeperError):
    """The connection's owner paused it."""

    code = "paused"
    hint = "This account is paused by its owner. Resume it to go on."


class ProviderRefused(KeeperError):
    """The provider or identity provider answered with an OAuth error; `hint` says which, in words."""

    code = "provider_refused"
    hint = "The provider refused."


class ProviderAway(KeeperError):
    """The provider does not answer, or not in time. Nothing was lost; try again."""

    code = "provider_away"
    hint = "The provider does not answer. Nothing was lost; try again in a moment."


class TooMany(KeeperError):
    """A bound of the keeper's own: mints per connection and minute, attempts per factor."""

    code = "too_many"
    hint = "Too many requests. Wait a minute and try again."


class HeadRefused(KeeperError):
    """The log's head does not extend the head that was published before: a restored or forked database."""

    code = "head_refused"
    hint = "The audit log does not continue the one signed before. Nothing held will run until an operator looks at it."


class HeadMoved(HeadRefused):
    """Another head was published since the caller asked which one is: nothing was signed, and nothing is wrong."""

    code = "head_moved"
    hint = "Another head of the audit log was signed at the same moment. Ask for it, and sign the next."


class NoAuthority(KeeperError):
    """The vault has no client certificate authority that gives what we ask for, and nothing else."""

    code = "no_authority"
    hint = "The vault cannot give client certificates yet. An operator sets that up: `counterseal vault doctor`, docs/keeper.md."


BY_CODE: dict[str, type[KeeperError]] = {
    cls.code: cls
    for cls in (
        VaultSealed, VaultAway, KeeperAway, BadRequest, NotKnown, Stale, FactorRefused, FactorTooYoung, MatchRefused,
        NotSignedIn, SessionEnded, MayNotDecide, NotApproved, ScopeRefused, NeedsConsent, Disconnected, Paused, ProviderRefused,
        ProviderAway, TooMany, HeadRefused, HeadMoved, NoAuthority,
    )
}


def named(detail: str, answer: Mapping[str, Any]) -> KeeperError:
    """The error of an answer that came through the door."""
    kind = BY_CODE.get(str(answer.get("error")), KeeperError)
    hint = heard(str(answer["hint"]), answer.get("said")) if answer.get("hint") else None
    return kind(f"{detail}: {answer.get('error')}", hint=hint)
