"""What the app may ask of the keeper, over a unix socket. The only way from `webapp/` to a credential.

Every call raises one of `vault.errors`; none returns a half-done result. Times are aware UTC; lifetimes are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from vault.evidence import Statement
from vault.secret import Secret

Json = Mapping[str, Any]
FactorKind = Literal["passkey", "totp"]


@dataclass(frozen=True)
class KeeperStatus:
    """`vault` is `ready`, `sealed` or `away`; `keeper` is `ready` or `away`."""

    keeper: Literal["ready", "away"]
    vault: Literal["ready", "sealed", "away"]
    version: str = ""


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
    `options` is None where the person has no passkey."""

    options: Json | None
    sealed: str


@dataclass(frozen=True)
class Answer:
    """A factor's answer: exactly one of `assertion` (WebAuthn JSON) and `code` (TOTP digits)."""

    sealed: str = ""
    assertion: Json | None = None
    code: Secret[str] | None = None


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
class ConnectionState:
    status: Literal["active", "needs_consent", "disconnected"]
    account: str
    label: str
    scopes: tuple[str, ...]
    renewed_at: datetime | None
    renewals: int
    expires_at: datetime | None


@dataclass(frozen=True)
class Revoked:
    """What the provider answered: `confirmed`, `unsupported` (it has no revocation endpoint) or `pending` (ask again)."""

    outcome: Literal["confirmed", "unsupported", "pending"]
    detail: str = ""


@dataclass(frozen=True)
class Door:
    """A client of the keeper's socket. Connections are kept; safe for many greenlets and threads.

    `timeout` (seconds) bounds each request, except those that ask a provider (`provider_timeout`).
    """

    socket: Path
    timeout: float = 5.0
    provider_timeout: float = 20.0
    _pool: list[Any] = field(default_factory=list, repr=False, compare=False)

    # -- life ------------------------------------------------------------------------------------------------------

    def status(self) -> KeeperStatus:
        """Never raises: a keeper or vault that is away or sealed is an answer here."""
        raise NotImplementedError

    def app_key(self, purpose: str) -> Secret[bytes]:
        """32 bytes derived (HKDF-SHA256) from `app/keys` for one named purpose, the same on every web process."""
        raise NotImplementedError

    def public_keys(self) -> PublicKeys:
        raise NotImplementedError

    def wrapping_key(self) -> WrappingKey:
        """This hour's key to wrap payload keys with."""
        raise NotImplementedError

    def unwrap(self, wrapped: str) -> WrappingKey:
        raise NotImplementedError

    def sign_checkpoint(self, *, size: int, root: bytes, proof: Sequence[bytes]) -> str:
        """Sign a C2SP checkpoint note of the log and publish it as the head by check-and-set. `proof` is the RFC 6962
        consistency proof from the head published before (empty for the first, and for an unchanged head).
        Raises HeadRefused when it does not extend that head."""
        raise NotImplementedError

    def log_head(self) -> tuple[int, bytes]:
        """Size and root of the published head; (0, SHA-256 of nothing) before the first."""
        raise NotImplementedError

    # -- signing in ------------------------------------------------------------------------------------------------

    def idp_put(self, name: str, record: Json) -> None:
        """Store an identity provider: `{issuer, client_id, client_secret, scopes, groups_claim, acr_values, max_age,
        groups_by_subject?}`. `groups_by_subject` (evaluation only) fixes groups whatever the claims say."""
        raise NotImplementedError

    def sign_in_begin(self, *, idp: str, redirect_uri: str, login_hint: str = "") -> Begun:
        raise NotImplementedError

    def sign_in_finish(self, *, sealed: str, state: str, code: Secret[str], iss: str | None, session: Secret[str]) -> SignedIn:
        """Redeem the code and verify the ID token: signature, `iss`, `aud`, `exp`, `nonce`; `iss` of the response
        (RFC 9207) where the provider advertises it; `acr` and `auth_time` where the record asks for them. The person's
        groups are recorded. `session` is the raw cookie of the session about to be created; the ticket is bound to it."""
        raise NotImplementedError

    # -- factors ---------------------------------------------------------------------------------------------------

    def factors(self, person: str) -> tuple[Factor, ...]:
        raise NotImplementedError

    def totp_begin(self, *, proof: SessionProof, account: str) -> TotpOffer:
        raise NotImplementedError

    def totp_finish(self, *, proof: SessionProof, sealed: str, code: Secret[str], name: str) -> Checked:
        """Enrol. A first factor needs a sign-in of the last 10 minutes, any further one a ticket that records a factor."""
        raise NotImplementedError

    def passkey_begin(self, *, proof: SessionProof, account: str) -> Challenge:
        raise NotImplementedError

    def passkey_finish(self, *, proof: SessionProof, sealed: str, attestation: Json, name: str) -> Checked:
        raise NotImplementedError

    def factor_remove(self, *, proof: SessionProof, factor: str) -> None:
        """Needs a ticket that records a factor check; the last factor stays."""
        raise NotImplementedError

    def challenge(self, *, proof: SessionProof) -> Challenge:
        """For the second step of signing in."""
        raise NotImplementedError

    def check(self, *, proof: SessionProof, answer: Answer) -> Checked:
        """Check a factor at sign-in. A TOTP code is good once, ever; a challenge is good once, for 5 minutes."""
        raise NotImplementedError

    # -- deciding --------------------------------------------------------------------------------------------------

    def decision_challenge(self, *, proof: SessionProof, envelope: bytes, verdict: Literal["approve", "confirm"]) -> Challenge:
        """Passkey options whose challenge is SHA-256 over a domain string, the verdict, a nonce and the envelope."""
        raise NotImplementedError

    def decide(
        self, *, proof: SessionProof, envelope: bytes, verdict: Literal["approve", "confirm", "reject"],
        reason: str = "", answer: Answer | None = None,
    ) -> Statement:
        """Sign one decision. `approve` and `confirm` need an answer of a factor old enough, `reject` a ticket that
        records a factor. Refuses an approval by the principal, the account's owner or the agent's owner, and a
        confirmation by anybody but the account's owner (MayNotDecide)."""
        raise NotImplementedError

    # -- accounts --------------------------------------------------------------------------------------------------

    def provider_put(self, name: str, record: Json) -> None:
        """Store a provider's client: `{client_id, client_secret, issuer?, endpoints…?}` over the catalogue's facts."""
        raise NotImplementedError

    def providers(self) -> tuple[str, ...]:
        """Names of the providers that have a client and can be connected."""
        raise NotImplementedError

    def connect_begin(self, *, provider: str, person: str, redirect_uri: str, scopes: Sequence[str]) -> Begun:
        raise NotImplementedError

    def connect_finish(
        self, *, connection: str, person: str, sealed: str, state: str, code: Secret[str], iss: str | None
    ) -> Connected:
        """Redeem the code; the tokens go straight into the vault under `connections/<connection>`. An existing
        connection (reconnect) keeps its id, if the provider's account is the same; ProviderRefused otherwise."""
        raise NotImplementedError

    def mint(
        self, *, connection: str, person: str, scopes: Sequence[str], receiver: str, cap: int, exclusive: bool = False,
        evidence: Evidence | None = None,
    ) -> Minted:
        """An access token for `receiver` (a server's name), at most `cap` seconds of it, for a connection that belongs to
        `person`. Scopes the catalogue marks as money or destructive need `evidence`; evidence is verified in numbered
        steps and spent: the same action mints once. With evidence the token is exclusive."""
        raise NotImplementedError

    def end_lease(self, *, connection: str, token_ref: str) -> Revoked:
        """Revoke one exclusive access token, where the provider can do so alone."""
        raise NotImplementedError

    def connection(self, connection: str) -> ConnectionState:
        raise NotImplementedError

    def disconnect(self, *, connection: str, person: str) -> None:
        """From here on nothing is minted. Durable before it returns; the provider is told by `revoke`."""
        raise NotImplementedError

    def revoke(self, *, connection: str) -> Revoked:
        """Tell the provider; repeat while `pending`. Tokens are shredded once it confirmed or cannot."""
        raise NotImplementedError
