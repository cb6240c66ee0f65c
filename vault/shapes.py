"""What goes through the door: the values of its requests and answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from vault.evidence import Statement
from vault.secret import Secret

Json = Mapping[str, Any]
FactorKind = Literal["passkey", "totp"]


@dataclass(frozen=True)
class KeeperStatus:
    """`vault` is `ready`, `sealed` or `away`; `keeper` is `ready` or `away`. `now` is the keeper's own clock."""

    keeper: Literal["ready", "away"]
    vault: Literal["ready", "sealed", "away"]
    version: str = ""
    now: datetime | None = None


@dataclass(frozen=True)
class Age:
    """Since when a secret of the keeper's has its value. `kind`: `key` (in transit, or the keeper's own), `spool`, `provider`,
    `idp`, `secret-id`, `ca`, `own-secret-id` and `unseal` (of the instance's own OpenBao). `next` and `how`: when and by whom it
    is replaced, where the keeper knows. `unfinished`: it was begun and goes on later."""

    kind: str
    name: str
    since: datetime
    next: datetime | None = None
    how: str = ""
    unfinished: bool = False


@dataclass(frozen=True)
class AppKey:
    """One generation of a key that was derived for a purpose: when it is signed with, and until when it verifies, None for the
    newest."""

    key: Secret[bytes]
    used_from: datetime
    until: datetime | None


@dataclass(frozen=True)
class KeyVersion:
    """Of a key in transit: its newest version, since when there is one, when it is used from, and the oldest that still opens."""

    version: int
    since: datetime
    used_from: datetime
    oldest: int


@dataclass(frozen=True)
class PublicKeys:
    """Ed25519 public keys (32 raw bytes) by transit key version."""

    authority: Mapping[int, bytes]
    audit: Mapping[int, bytes]


@dataclass(frozen=True)
class WrappingKey:
    """An hourly AES-256 key; `wrapped` is its transit ciphertext and names it for `Door.unwrap`."""

    wrapped: str
    key: Secret[bytes]


@dataclass(frozen=True)
class SessionProof:
    """What shows the keeper that a person signed in: the ticket it signed and the raw session cookie it is bound to."""

    ticket: str
    session: Secret[str]


@dataclass(frozen=True)
class Begun:
    """An authorization request to send the browser to. `sealed` (keeper-encrypted: verifier, nonce, state) is stored by
    the app and handed back at the end; `state` is what the provider will return."""

    url: str
    state: str
    sealed: str


@dataclass(frozen=True)
class SignedIn:
    """A verified ID token: `person` is derived from issuer and subject. `claims` are the verified ones; `ticket` binds
    person, groups and the session together and is verified with `verify_ticket`."""

    person: str
    issuer: str
    subject: str
    name: str
    email: str
    groups: tuple[str, ...]
    claims: Json
    ticket: str
    step_up: str = ""
    """The most that signing in again for a decision counts as here: `passkey`, `totp`, or nothing."""


@dataclass(frozen=True)
class Factor:
    id: str
    kind: FactorKind
    name: str
    created_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True)
class TotpOffer:
    """Shown once: `sealed` goes back to `totp_finish`; `uri` is the otpauth URI, `svg` its QR code."""

    sealed: str
    uri: Secret[str]
    svg: Secret[str]


@dataclass(frozen=True)
class Challenge:
    """WebAuthn options (the JSON for `navigator.credentials`) and the sealed nonce that goes back with the answer.
    `options` is None where the person has no passkey; `codes`: they have an authenticator app; `again`: signing in again at the
    identity provider is enough for this decision."""

    options: Json | None
    sealed: str
    codes: bool = False
    again: bool = False


@dataclass(frozen=True)
class SignedAgain:
    """What the identity provider sent back with the browser to which `Door.step_up_begin` sent it."""

    state: str
    code: Secret[str]
    iss: str | None


@dataclass(frozen=True)
class Answer:
    """A factor's answer: exactly one of `assertion` (WebAuthn JSON), `code` (TOTP digits) and, for a decision, `again`."""

    sealed: str = ""
    assertion: Json | None = None
    code: Secret[str] | None = None
    again: SignedAgain | None = None


@dataclass(frozen=True)
class Checked:
    """A factor was checked; `ticket` replaces the session's and records it."""

    factor: Factor
    ticket: str


@dataclass(frozen=True)
class Connected:
    """An account was connected. `account` is the provider's own account id, `label` what a person recognises."""

    account: str
    label: str
    scopes: tuple[str, ...]
    expires_at: datetime | None
    renewable: bool
    connection: str
    """Where the tokens are: not the connection that was asked for, where the same account was connected before."""


@dataclass(frozen=True)
class KeyStored:
    """A key was stored. `account` is a name of ours for this very key, `scopes` all that the catalogue says it can do."""

    account: str
    label: str
    scopes: tuple[str, ...]


@dataclass(frozen=True)
class Evidence:
    """What a held action's mint needs: the canonical envelope, byte for byte, and the signed statements on it."""

    envelope: bytes
    statements: Sequence[Statement]


@dataclass(frozen=True)
class Minted:
    """An access token for one receiver. `expires_at` is the lease's end, never later than the token's own."""

    token: Secret[str]
    expires_at: datetime
    scopes: tuple[str, ...]
    exclusive: bool
    token_ref: str = ""
    """Names this token to `end_lease` without being it."""


@dataclass(frozen=True)
class Event:
    """One exchange with a provider: `connected`, `renewed`, `refused`, `lost`, `ended` or `away` (`vault.record.EVENTS`)."""

    what: str
    at: datetime


@dataclass(frozen=True)
class ConnectionState:
    status: Literal["active", "needs_consent", "disconnected"]
    account: str
    label: str
    scopes: tuple[str, ...]
    renewed_at: datetime | None
    renewals: int
    expires_at: datetime | None
    paused: bool = False
    ending: int = 0
    """Tokens of before that the provider has not yet ended."""
    renewable: bool = True
    events: tuple[Event, ...] = ()
    """The last exchanges with the provider, the latest first."""


@dataclass(frozen=True)
class Certified:
    """A client certificate (PEM, the leaf alone). `serial` is lower-case hex with colons."""

    pem: str
    serial: str
    not_after: datetime


@dataclass(frozen=True)
class Revoked:
    """What the provider answered: `confirmed`, `unsupported` (it has no revocation endpoint) or `pending` (ask again)."""

    outcome: Literal["confirmed", "unsupported", "pending"]
    detail: str = ""


@dataclass(frozen=True)
class Delegation:
    """A membership that one person lends another. `servers` and `classes`: for which, all where empty; `up_to`: in minor units of
    the base currency, None without a bound. `id` is empty until it is recorded; so is `factor`, the kind it was signed with."""

    by: str
    to: str
    group: str
    servers: tuple[str, ...]
    classes: tuple[str, ...]
    up_to: int | None
    since: datetime
    until: datetime
    id: str = ""
    factor: str = ""
    same_as: tuple[str, ...] = ()
    """Other sign-ins of the lender, as the app knows them: to keep out whom an action keeps out. The keeper looks itself."""

    @property
    def lenders(self) -> tuple[str, ...]:
        return (self.by, *self.same_as)

    @property
    def scope(self) -> dict[str, Any]:
        return {"servers": list(self.servers), "classes": list(self.classes), "up_to": self.up_to}
