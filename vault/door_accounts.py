"""The door's part about connected accounts: connecting them, tokens of theirs, and taking them back.

`vault.door.Door` is all of it: what it promises of errors and times holds here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from vault.lines import Line, answered, moment, moment_or_none
from vault.secret import Secret
from vault.shapes import Begun, Connected, ConnectionState, Event, Evidence, Json, KeyStored, Minted, Revoked
from vault.together import Answer as Told
from vault.together import Question, Together


@dataclass(frozen=True)
class Accounts:
    """Connected accounts, through the keeper's socket. Connections are kept; safe for many greenlets and threads, and across
    a fork.

    `timeout` (seconds) bounds each request, except those that ask a provider (`provider_timeout`). A request that changes
    something is sent at most once: KeeperAway after it may have been heard means that its outcome is not known.
    """

    socket: Path
    timeout: float = 5.0
    provider_timeout: float = 20.0

    @cached_property
    def _line(self) -> Line:
        return Line(self.socket, self.timeout)

    @cached_property
    def _mints(self) -> Together:
        """Calls that ask for tokens at the same moment ask in one request."""
        def send(asked: Sequence[Question]) -> Sequence[Told]:
            answers: list[Told] = self._line.ask("mint_ready", mints=list(asked))["answers"]
            return answers

        return Together(send)

    def close(self) -> None:
        """Close the kept connections; the door can still be used."""
        self._line.close()

    def provider_put(self, name: str, record: Json) -> None:
        """Store a provider's client: `{client_id, client_secret, issuer?, endpoints…?}` over the catalogue's facts."""
        self._line.ask("provider_put", name=name, record=dict(record))

    def client_secret_put(self, *, kind: str, name: str, secret: Secret[str], overlap: int) -> datetime:
        """Replace the client secret at a `provider` or `idp`; until when the one before is tried where the new one is not known:
        `overlap` seconds, 10 minutes to 30 days. Raises NotKnown; BadRequest, with a hint."""
        found = self._line.ask("client_secret_put", kind=kind, name=name, secret=secret.reveal(), overlap=overlap)
        return moment(found["until"])

    def client_secret_end(self, *, kind: str, name: str) -> bool:
        """From here on the newest secret alone is shown; whether there was another. Raises NotKnown."""
        return bool(self._line.ask("client_secret_end", kind=kind, name=name)["ended"])

    def providers(self) -> tuple[str, ...]:
        """Names of the providers that have a client and can be connected."""
        return tuple(self._line.ask("providers", again=True)["providers"])

    def connect_begin(
        self, *, provider: str, person: str, redirect_uri: str, scopes: Sequence[str], pick: bool = False
    ) -> Begun:
        """`pick`: have the provider ask which account, where it is known to be able to."""
        return begun(self._line.ask(
            "connect_begin", self.provider_timeout, provider=provider, person=person, redirect_uri=redirect_uri,
            scopes=list(scopes), pick=pick,
        ))

    def connect_finish(
        self, *, connection: str, person: str, sealed: str, state: str, code: Secret[str], iss: str | None,
        known: Sequence[str] = (),
    ) -> Connected:
        """Redeem the code; the tokens go straight into the vault under `connections/<connection>`. An existing
        connection (reconnect) keeps its id, if the provider's account is the same; ProviderRefused otherwise. A new one whose
        account is that of one of `known` (the person's other connections) becomes a reconnect of that one."""
        found = self._line.ask(
            "connect_finish", self.provider_timeout, connection=connection, person=person, sealed=sealed, state=state,
            code=code.reveal(), iss=iss, known=list(known),
        )
        expires = moment_or_none(found["expires_at"])
        return Connected(
            found["account"], found["label"], tuple(found["scopes"]), expires, found["renewable"], found["connection"]
        )

    def key_put(
        self, *, connection: str, person: str, provider: str, key: Secret[str], label: str, expires_at: datetime | None = None
    ) -> KeyStored:
        """Store an API key as a connection, or replace the one that is there. `expires_at` is the last moment it is handed out.
        Raises BadRequest with a hint for what is no key, NotKnown, Stale."""
        found = self._line.ask(
            "key_put", connection=connection, person=person, provider=provider, key=key.reveal(), label=label,
            expires_at=expires_at.isoformat() if expires_at is not None else "",
        )
        return KeyStored(found["account"], found["label"], tuple(found["scopes"]))

    def mint(
        self, *, connection: str, person: str, scopes: Sequence[str], receiver: str, cap: int, exclusive: bool = False,
        evidence: Evidence | None = None,
    ) -> Minted:
        """An access token for `receiver` (a server's name), at most `cap` seconds of it, for a connection that belongs to
        `person`. Scopes the catalogue marks as money or destructive need `evidence`; evidence is verified in numbered
        steps and spent: the same action mints once. With evidence the token is exclusive."""
        asked: dict[str, Any] = {
            "connection": connection, "person": person, "scopes": list(scopes), "receiver": receiver, "cap": cap,
            "exclusive": exclusive, "evidence": _evidence(evidence) if evidence is not None else None,
        }
        shared = evidence is None and not exclusive
        found = answered("mint", self._mints.ask(asked)) if shared else {}
        if not found or found.get("alone") is True:
            found = self._line.ask("mint", self.provider_timeout, again=False, **asked)
        return Minted(
            Secret(found["token"]), moment(found["expires_at"]), tuple(found["scopes"]), found["exclusive"], found["token_ref"]
        )

    def spend(self, *, receiver: str, evidence: Evidence) -> None:
        """Verify and spend the evidence of a held call to `receiver` that uses no account, so that no token is minted on it.
        Raises NotApproved; also the second time."""
        self._line.ask("spend", receiver=receiver, evidence=_evidence(evidence))

    def try_renewal(self, *, connection: str) -> str:
        """Have the provider renew this account now, if it can be renewed at all. The token is for nobody and stays here: have it
        ended by `forget`, with the receiver that is returned, and `end_tokens`. Raises NeedsConsent where the provider's grant is
        over, NotKnown, Disconnected, Paused, ProviderAway."""
        return str(self._line.ask("try_renewal", self.provider_timeout, connection=connection)["receiver"])

    def rotate_spool_key(self) -> None:
        """Have the volume of the keeper that answers make itself another key for what is spooled there. Raises TooMany within an
        hour of the last."""
        self._line.ask("rotate_spool_key")

    def trade_in(self, *, connection: str) -> Literal["traded", "kept", "in_use"]:
        """Have a paused account's refresh token traded in, so that a copy of it is worth nothing; nobody is handed anything, and
        what came with it is ended by `end_tokens`. `kept`: there is none, or the provider gave the same again; `in_use`: it is
        not paused. Raises NeedsConsent where the provider's grant is over, NotKnown, Disconnected, ProviderAway."""
        found = self._line.ask("trade_in", self.provider_timeout, connection=connection)["outcome"]
        return "traded" if found == "traded" else "in_use" if found == "in_use" else "kept"

    def end_lease(self, *, connection: str, token_ref: str) -> Revoked:
        """Revoke one exclusive access token, where the provider can do so alone."""
        found = self._line.ask("end_lease", self.provider_timeout, connection=connection, token_ref=token_ref)
        return Revoked(found["outcome"], found.get("detail", ""))

    def connection(self, connection: str) -> ConnectionState:
        return _state(self._line.ask("connection", again=True, connection=connection))

    def connections(self, connections: Sequence[str]) -> dict[str, ConnectionState]:
        """Those that are there, by id; at most 200 are asked for at once."""
        found = self._line.ask("connections", again=True, connections=list(connections))["connections"]
        return {name: _state(one) for name, one in found.items()}

    def pause(self, *, connection: str, person: str) -> None:
        """From here on nothing is minted until `resume`. Durable before it returns; safe to repeat. Tokens that were handed out
        and can be ended alone are ended by `end_tokens`."""
        self._line.ask("pause", connection=connection, person=person)

    def resume(self, *, connection: str, person: str) -> None:
        """Safe to repeat."""
        self._line.ask("resume", connection=connection, person=person)

    def forget(self, *, connection: str, person: str, receiver: str) -> None:
        """No shared token of this receiver's is handed out again; what can be ended alone is ended by `end_tokens`. Safe to
        repeat."""
        self._line.ask("forget", connection=connection, person=person, receiver=receiver)

    def end_tokens(self, *, connection: str) -> Revoked:
        """Have the provider end tokens that a pause, a new consent or `forget` left behind; repeat while `pending`."""
        found = self._line.ask("end_tokens", self.provider_timeout, connection=connection)
        return Revoked(found["outcome"], found.get("detail", ""))

    def disconnect(self, *, connection: str, person: str) -> None:
        """From here on nothing is minted. Durable before it returns; the provider is told by `revoke`."""
        self._line.ask("disconnect", connection=connection, person=person)

    def revoke(self, *, connection: str) -> Revoked:
        """Tell the provider; repeat while `pending`, whose detail is `expired` where all that is left has ended by itself.
        Tokens are shredded once it confirmed or cannot."""
        found = self._line.ask("revoke", self.provider_timeout, connection=connection)
        return Revoked(found["outcome"], found.get("detail", ""))


def _state(found: Json) -> ConnectionState:
    return ConnectionState(
        found["status"], found["account"], found["label"], tuple(found["scopes"]), moment_or_none(found["renewed_at"]),
        int(found["renewals"]), moment_or_none(found["expires_at"]), bool(found["paused"]), int(found["ending"]),
        bool(found["renewable"]), tuple(Event(what, moment(at)) for what, at in found["events"]),
    )


def _evidence(evidence: Evidence) -> Json:
    statements = [{"body": one.body, "signature": one.signature} for one in evidence.statements]
    return {"envelope": evidence.envelope.decode(), "statements": statements}


def begun(found: Json) -> Begun:
    return Begun(found["url"], found["state"], found["sealed"])
