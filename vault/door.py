"""What the app may ask of the keeper, over a unix socket. The only way from `webapp/` to a credential.

Every call raises one of `vault.errors`; none returns a half-done result. Times are aware UTC; lifetimes are seconds.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Literal

from vault.door_accounts import begun
from vault.door_notices import Notices
from vault.door_standing import age_of, answer_of, challenge_of, proof_of, refs
from vault.errors import KeeperAway, KeeperError
from vault.evidence import Statement
from vault.lines import b64, moment, moment_or_none, unb64
from vault.secret import Secret
from vault.shapes import (
    Age,
    Answer,
    AppKey,
    Begun,
    Certified,
    Challenge,
    Checked,
    Connected,
    ConnectionState,
    Delegation,
    Event,
    Evidence,
    Factor,
    FactorKind,
    Json,
    KeeperStatus,
    KeyStored,
    KeyVersion,
    Minted,
    PublicKeys,
    Revoked,
    SessionProof,
    SignedAgain,
    SignedIn,
    TotpOffer,
    WrappingKey,
)
from vault.shapes_people import LoggedOut, Readmission, Recovered, RecoveryLeft
from vault.tickets import NO_FACTOR, Ticket
from vault.tickets import verify as verify_ticket

__all__ = [
    "NO_FACTOR", "Age", "Answer", "AppKey", "Begun", "Certified", "Challenge", "Checked", "Connected", "ConnectionState",
    "Delegation", "Door", "Event", "Evidence", "Factor", "FactorKind", "Json", "KeeperStatus", "KeyStored", "KeyVersion",
    "LoggedOut", "Minted", "PublicKeys", "Readmission", "Recovered", "RecoveryLeft", "Revoked", "SessionProof", "SignedAgain",
    "SignedIn", "Ticket", "TotpOffer", "WrappingKey", "verify_ticket",
]

CA_KEPT = 300.0


@dataclass(frozen=True)
class Door(Notices):
    """A client of the keeper's socket: accounts (`vault.door_accounts`), who stands in for whom (`vault.door_standing`), sessions
    that end (`vault.door_sessions`), recovery codes and who is let in again (`vault.door_recovery`, `vault.door_readmission`),
    telling people (`vault.door_notices`), and all else."""

    @cached_property
    def _authority(self) -> dict[str, tuple[float, tuple[str, tuple[str, ...]]]]:
        """What is public and read with every certificate: when it was asked for, and the answer."""
        return {}

    # -- life ------------------------------------------------------------------------------------------------------

    def status(self) -> KeeperStatus:
        """Never raises: a keeper or vault that is away or sealed is an answer here."""
        try:
            found = self._line.ask("status", again=True)
        except KeeperAway:
            return KeeperStatus("away", "away")
        except KeeperError:
            return KeeperStatus("ready", "away")
        return KeeperStatus(found["keeper"], found["vault"], found["version"], moment_or_none(found.get("now")))

    def app_key(self, purpose: str) -> Secret[bytes]:
        """32 bytes derived (HKDF-SHA256) from `app/keys` for one named purpose, the same on every web process: the one
        to sign with now."""
        return Secret(unb64(self._line.ask("app_key", again=True, purpose=purpose)["key"]))

    def app_keys(self, purpose: str) -> tuple[AppKey, ...]:
        """The same in all generations that may still verify, the oldest first; the newest may not sign yet."""
        found = self._line.ask("app_keys", again=True, purpose=purpose)["keys"]
        return tuple(AppKey(Secret(unb64(one["key"])), moment(one["used_from"]), moment_or_none(one["until"])) for one in found)

    def public_keys(self) -> PublicKeys:
        found = self._line.ask("public_keys", again=True)
        return PublicKeys(*({int(v): unb64(key) for v, key in found[name].items()} for name in ("authority", "audit")))

    def ages(self) -> tuple[Age, ...]:
        """How old the keeper's own secrets are: names and times."""
        found = self._line.ask("ages", again=True)["secrets"]
        return tuple(age_of(one) for one in found)

    def rotate(self, key: str) -> KeyVersion:
        """A new version of `payload`, `authority`, `audit`, `app` or `ca`; all that older ones signed or wrapped stays good.
        Raises TooMany within an hour of the last (`app`, `ca`: a day, or longer); KeeperError, with what an operator types, where
        the vault does not let the keeper."""
        return _version(self._line.ask("rotate", key=key))

    def rotate_secret_id(self) -> datetime:
        """Have the keeper make itself another AppRole secret-id; until when the one before still logs in. Raises TooMany within
        an hour of the last; KeeperError, with the reason in words, where it is not the keeper's to replace."""
        return moment(self._line.ask("rotate_secret_id")["old_until"])

    def key_version(self, key: str) -> KeyVersion:
        return _version(self._line.ask("key_version", again=True, key=key))

    def audit_keys(self) -> tuple[str, ...]:
        """The lines of `audit.vkey`: all that ever sign the log, each after the first with the word of the one before it."""
        return tuple(self._line.ask("audit_keys", again=True)["lines"])

    def authority_keys(self) -> tuple[Json, ...]:
        """`{version, key, word}` (base64) of each key that signs decisions, with the word of the log's key."""
        return tuple(self._line.ask("authority_keys", again=True)["keys"])

    def rewrap(self, wrapped: Sequence[str]) -> dict[str, str]:
        """Wrapped keys (200 at most) under the newest version, by what they were; without those that are none of ours."""
        return dict(self._line.ask("rewrap", again=True, wrapped=list(wrapped))["rewrapped"])

    def retire_payload(self) -> None:
        """Have nothing opened any more that an older version of `payload` wrapped. Raises BadRequest within a day of rotating."""
        self._line.ask("retire_payload", again=True)

    def wrapping_key(self) -> WrappingKey:
        """This hour's key to wrap payload keys with."""
        return _wrapping(self._line.ask("wrapping_key", again=True))

    def unwrap(self, wrapped: str) -> WrappingKey:
        return _wrapping(self._line.ask("unwrap", again=True, wrapped=wrapped))

    def sign_checkpoint(self, *, size: int, root: bytes, proof: Sequence[bytes], after: int | None = None) -> str:
        """Sign a C2SP checkpoint note of the log and publish it as the head by check-and-set. `proof` is the RFC 6962
        consistency proof from the head published before (empty for the first, and for an unchanged head), whose size is `after`.
        Raises HeadRefused when it does not extend that head, HeadMoved when another was published meanwhile."""
        path = [b64(node) for node in proof]
        found = self._line.ask("sign_checkpoint", size=size, root=b64(root), proof=path, after=after)
        return str(found["note"])

    def log_head(self) -> tuple[int, bytes]:
        """Size and root of the published head; (0, SHA-256 of nothing) before the first."""
        found = self._line.ask("log_head", again=True)
        return int(found["size"]), unb64(found["root"])

    # -- signing in ------------------------------------------------------------------------------------------------

    def idp_put(self, name: str, record: Json) -> None:
        """Store an identity provider: `{issuer, client_id, client_secret, scopes, groups_claim, acr_values, amr_values, max_age,
        groups_by_subject?}`. `groups_by_subject` (evaluation only) fixes groups whatever the claims say."""
        self._line.ask("idp_put", name=name, record=dict(record))

    def sign_in_begin(self, *, idp: str, redirect_uri: str, login_hint: str = "") -> Begun:
        wait = self.provider_timeout
        return begun(self._line.ask("sign_in_begin", wait, idp=idp, redirect_uri=redirect_uri, login_hint=login_hint))

    def sign_in_finish(self, *, sealed: str, state: str, code: Secret[str], iss: str | None, session: Secret[str]) -> SignedIn:
        """Redeem the code and verify the ID token: signature, `iss`, `aud`, `exp`, `nonce`; `iss` of the response
        (RFC 9207) where the provider advertises it; `acr` and `auth_time` where the record asks for them. The person's
        groups are recorded. `session` is the raw cookie of the session about to be created; the ticket is bound to it."""
        found = self._line.ask(
            "sign_in_finish", self.provider_timeout, sealed=sealed, state=state, code=code.reveal(), iss=iss,
            session=session.reveal(),
        )
        return SignedIn(
            found["person"], found["issuer"], found["subject"], found["name"], found["email"], tuple(found["groups"]),
            found["claims"], found["ticket"], found["step_up"],
        )

    # -- factors ---------------------------------------------------------------------------------------------------

    def factors(self, person: str) -> tuple[Factor, ...]:
        return tuple(_factor(one) for one in self._line.ask("factors", again=True, person=person)["factors"])

    def totp_begin(self, *, proof: SessionProof, account: str) -> TotpOffer:
        found = self._line.ask("totp_begin", proof=proof_of(proof), account=account)
        return TotpOffer(found["sealed"], Secret(found["uri"]), Secret(found["svg"]))

    def totp_finish(self, *, proof: SessionProof, sealed: str, code: Secret[str], name: str) -> Checked:
        """Enrol. A first factor needs a sign-in of the last 10 minutes, any further one a ticket that records a factor."""
        found = self._line.ask("totp_finish", proof=proof_of(proof), sealed=sealed, code=code.reveal(), name=name)
        return Checked(_factor(found["factor"]), found["ticket"])

    def passkey_begin(self, *, proof: SessionProof, account: str) -> Challenge:
        return challenge_of(self._line.ask("passkey_begin", proof=proof_of(proof), account=account))

    def passkey_finish(self, *, proof: SessionProof, sealed: str, attestation: Json, name: str) -> Checked:
        found = self._line.ask(
            "passkey_finish", proof=proof_of(proof), sealed=sealed, attestation=dict(attestation), name=name
        )
        return Checked(_factor(found["factor"]), found["ticket"])

    def factor_remove(self, *, proof: SessionProof, factor: str) -> None:
        """Needs a ticket that records a factor check; the last factor stays."""
        self._line.ask("factor_remove", proof=proof_of(proof), factor=factor)

    def challenge(self, *, proof: SessionProof) -> Challenge:
        """For the second step of signing in."""
        return challenge_of(self._line.ask("challenge", proof=proof_of(proof)))

    def check(self, *, proof: SessionProof, answer: Answer) -> Checked:
        """Check a factor at sign-in. A TOTP code is good once, ever; a challenge is good once, for 5 minutes."""
        found = self._line.ask("check", proof=proof_of(proof), answer=answer_of(answer))
        return Checked(_factor(found["factor"]), found["ticket"])

    # -- deciding --------------------------------------------------------------------------------------------------

    def decision_challenge(
        self, *, proof: SessionProof, envelope: bytes, verdict: Literal["approve", "confirm", "break_glass"],
        delegations: Iterable[tuple[str, str]] = (), idp: str = "",
    ) -> Challenge:
        """Passkey options whose challenge is SHA-256 over a domain string, the verdict, a nonce and the envelope. `delegations`
        (lender and id) that stand let somebody speak for a group that they are not in themself. `idp`: say whether signing in
        again there would do."""
        return challenge_of(
            self._line.ask("decision_challenge", proof=proof_of(proof), envelope=envelope.decode(), verdict=verdict,
                           delegations=refs(delegations), idp=idp)
        )

    def step_up_begin(
        self, *, proof: SessionProof, envelope: bytes, verdict: Literal["approve", "confirm"], idp: str, redirect_uri: str,
        delegations: Iterable[tuple[str, str]] = (),
    ) -> Begun:
        """Sign in again for this one decision: afresh, as strongly as the operators asked, with a nonce that is over verdict
        and envelope. What comes back is `Answer.again`. Raises FactorRefused where it is off."""
        return begun(self._line.ask(
            "step_up_begin", self.provider_timeout, proof=proof_of(proof), envelope=envelope.decode(), verdict=verdict, idp=idp,
            redirect_uri=redirect_uri, delegations=refs(delegations),
        ))

    def decide(
        self, *, proof: SessionProof, envelope: bytes, verdict: Literal["approve", "confirm", "reject", "break_glass"],
        reason: str = "", answer: Answer | None = None, delegations: Iterable[tuple[str, str]] = (), match: str = "",
    ) -> Statement:
        """Sign one decision. `approve` and `confirm` need an answer of a factor old enough, `reject` a ticket that
        records a factor. Refuses an approval by the principal, the account's owner or the agent's owner, and a
        confirmation by anybody but the account's owner (MayNotDecide). `break_glass` is for those whom the keeper's configuration
        names, by passkey, with a reason. `match`: the number that the agent shows, where the envelope asks for it: raises
        MatchRefused for a wrong one, and signs a rejection in place of the confirmation for the third."""
        wait = self.provider_timeout if answer is not None and answer.again is not None else None
        found = self._line.ask(
            "decide", wait, proof=proof_of(proof), envelope=envelope.decode(), verdict=verdict, reason=reason,
            answer=answer_of(answer) if answer else None, delegations=refs(delegations), match=match,
        )
        return Statement(found["body"], found["signature"])

    # -- client certificates ---------------------------------------------------------------------------------------

    def client_ca(self, *, fresh: bool = False) -> str:
        """The certificates (PEM, with any above them) of the authorities for client certificates that are believed, the newest
        first, asked for again after five minutes, or at once (`fresh`). Raises NoAuthority."""
        return self._believed(fresh)[0]

    def client_anchors(self) -> tuple[str, ...]:
        """Each authority's own certificate (PEM), without those above it."""
        return self._believed()[1]

    def _believed(self, fresh: bool = False) -> tuple[str, tuple[str, ...]]:
        kept = self._authority.get("ca")
        if kept is None or fresh or time.monotonic() > kept[0] + CA_KEPT:
            found = self._line.ask("client_ca", again=True)
            kept = (time.monotonic(), (str(found["pem"]), tuple(str(one) for one in found["anchors"])))
            self._authority["ca"] = kept
        return kept[1]

    def certify(self, *, client: str, csr: str, lifetime: int = 24 * 3600) -> Certified:
        """A certificate for the key of a request (PKCS#10, PEM), named `spiffe://<host of public_url>/client/<client>` and good
        for client authentication alone, for `lifetime` seconds, a day at most. Raises BadRequest, with a hint for whoever made
        the request; NoAuthority."""
        found = self._line.ask("certify", client=client, csr=csr, lifetime=lifetime)
        return Certified(found["pem"], found["serial"], moment(found["not_after"]))

    def revoke_certificate(self, *, serial: str) -> None:
        """Put it on the authority's own list, for whoever reads that. Twice is once."""
        self._line.ask("revoke_certificate", serial=serial)


def _version(found: Json) -> KeyVersion:
    return KeyVersion(int(found["version"]), moment(found["since"]), moment(found["used_from"]), int(found["oldest"]))


def _factor(found: Json) -> Factor:
    used = moment_or_none(found["last_used_at"])
    return Factor(found["id"], found["kind"], found["name"], moment(found["created_at"]), used)


def _wrapping(found: Json) -> WrappingKey:
    return WrappingKey(found["wrapped"], Secret(unb64(found["key"])))
