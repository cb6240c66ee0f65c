"""Verifying a receipt with nothing but the log's pinned public key: no server, no vault, no database. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from vault.decided import authority_introduction
from vault.errors import KeeperError
from vault.evidence import BadEnvelope, Envelope, Statement, canonical, digest, parse_statement, read_envelope, satisfied
from vault.witness import BadWitness, check
from webapp.approvals.receipt_shape import BYTES, FIELDS, FORMAT, MOST
from webapp.audit import merkle
from webapp.audit.keys import BadNote, Head, VerifierKey, introduced, open_note
from webapp.errors import CountersealError

SAID = {"approve": "approved it", "confirm": "confirmed it", "reject": "rejected it", "break_glass": "passed it alone"}


class BadReceipt(CountersealError):
    """It does not verify; the hint says what does not."""

    default = "bad_receipt"


@dataclass
class Findings:
    """In plain sentences: what was verified, what is weaker than it could be, what a receipt cannot show."""

    verified: list[str] = field(default_factory=list)
    weaker: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Keys:
    """Those the receipt brings along, once the pinned one vouched for them."""

    log: list[VerifierKey]
    authority: Mapping[int, bytes]


def verify(raw: bytes, pinned: VerifierKey) -> Findings:
    """Raise BadReceipt unless

    1. the file is a receipt, whole and within bounds, with nothing in it that is not checked below;
    2. its keys begin with the pinned one, and each other has the word of one before it;
    3. the log's head is signed by one of them, and every entry is under it (RFC 6962 section 2.1.1) and speaks of this action;
    4. the document, where it is there, is canonical and has the digest that was held, decided and run;
    5. the keeper signed every decision, on this digest, and the log has an entry for exactly each of them;
    6. where a passkey decided, its own signature is over this verdict and this digest;
    7. where the log says that it ran, the decisions meet the document's requirement.
    """
    try:
        return _verified(_parsed(raw), pinned)  # 1
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadReceipt(f"This receipt cannot be read ({type(error).__name__}).") from error


def _verified(receipt: Mapping[str, Any], pinned: VerifierKey) -> Findings:
    found = Findings()
    keys = _keys(receipt, pinned)  # 2
    head = _head(receipt, keys, found)
    entries = _entries(receipt, head, found)  # 3
    envelope = _document(receipt, entries, found)  # 4
    bodies = [_decision(one, receipt, keys) for one in receipt["decisions"]]  # 5
    _logged(receipt, bodies, entries, found)
    for body in bodies:
        _factor(body, receipt["digest"], found)  # 6
    _course(receipt, envelope, entries, keys, found)  # 7
    _limits(envelope, bodies, found)
    return found


def _parsed(raw: bytes) -> Mapping[str, Any]:
    if len(raw) > BYTES:
        raise BadReceipt("This file is too long for a receipt.")
    try:
        receipt = json.loads(raw)
        if not isinstance(receipt, dict) or canonical(receipt) != raw.strip():
            raise BadReceipt("This file is not a receipt as it was written: it is not canonical JSON.")
        if receipt.get("format") != FORMAT:
            raise BadReceipt(f"This file's format is not {FORMAT}.")
        texts = ("action", "digest", "checkpoint", *(["envelope"] if "envelope" in receipt else []))
        lists = ("decisions", "entries")
        whole = set(receipt) - {"envelope"} == FIELDS and all(isinstance(receipt[name], str) for name in texts)
        bounded = all(isinstance(receipt[name], list) and len(receipt[name]) <= MOST for name in lists)
        shapes = [(receipt["decisions"], {"body", "signature"}), (receipt["entries"], {"body", "index", "proof"}),
                  ([receipt["keys"]], {"log", "authority"}), (receipt["keys"]["authority"], {"version", "key", "word"})]
        if not whole or not bounded or not all(set(one) == names for some, names in shapes for one in some):
            raise BadReceipt("This receipt is not whole, or holds more than a receipt does.")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadReceipt("This file is not a receipt.") from error
    return receipt


def _keys(receipt: Mapping[str, Any], pinned: VerifierKey) -> Keys:
    try:
        log = introduced(receipt["keys"]["log"][:MOST], "the receipt")
        if not log or str(log[0]) != str(pinned):
            raise BadReceipt("This receipt's log is another one than that whose key you gave: it was made elsewhere, or made up.")
        return Keys(log, dict(_authority(one, log) for one in receipt["keys"]["authority"][:MOST]))
    except (BadNote, ValueError, TypeError, AttributeError, binascii.Error) as error:
        raise BadReceipt(f"The receipt's keys do not hold. {getattr(error, 'hint', '')}".strip()) from error


def _authority(one: Mapping[str, Any], log: Sequence[VerifierKey]) -> tuple[int, bytes]:
    """Attack: a key of one's own, and decisions of one's own signed with it."""
    version, key, word = one["version"], base64.b64decode(one["key"], validate=True), base64.b64decode(one["word"], validate=True)
    if not isinstance(version, int) or isinstance(version, bool) or not _once(one["key"], key) or not _once(one["word"], word):
        raise ValueError("form")
    said = authority_introduction(log[0].name, version, key)
    if not any(_signed(signer.public, word, said) for signer in log):
        raise BadReceipt("A key that signed decisions here does not have the word of the log's key: it is not the instance's.")
    return version, key


def _once(text: str, value: bytes) -> bool:
    return base64.b64encode(value).decode() == text


def _signed(public: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _head(receipt: Mapping[str, Any], keys: Keys, found: Findings) -> Head:
    try:
        head = open_note(receipt["checkpoint"], keys.log)
    except (BadNote, ValueError) as error:
        raise BadReceipt(f"The log's head does not verify. {getattr(error, 'hint', '')}".strip()) from error
    if head.origin != keys.log[0].name or len(receipt["checkpoint"].splitlines()) != 5:
        raise BadReceipt("The log's head is of another log, or says more than a head does.")
    found.verified.append(f"The log “{head.origin}” had {head.size} entries then; its own key signed its head.")
    return head


def _entries(receipt: Mapping[str, Any], head: Head, found: Findings) -> list[Mapping[str, Any]]:
    entries = []
    for one in receipt["entries"]:
        try:
            body = one["body"].encode()
            path = [base64.b64decode(node, validate=True) for node in one["proof"]]
            written = all(_once(text, node) for text, node in zip(one["proof"], path, strict=True))
            read = json.loads(body)
            index = one["index"]
            if not written or canonical(read) != body or type(index) is not int or read["subject"] != receipt["action"]:
                raise BadReceipt("An entry of the log is not as it was written, or speaks of another action.")
            if not merkle.included(merkle.leaf_hash(body), index, head.size, head.root, path):
                raise BadReceipt(f"Entry {index} is not in the log under this head: it was changed, or never there.")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BadReceipt("An entry of the log cannot be read.") from error
        entries.append(read)
    if [one["index"] for one in receipt["entries"]] != sorted({one["index"] for one in receipt["entries"]}):
        raise BadReceipt("The log's entries are out of order, or one is there twice.")
    if not entries or entries[0]["kind"] != "action.held":
        raise BadReceipt("The receipt lacks the log's entry on the action being held.")
    found.verified.append(f"{len(entries)} entries of the log on this action are under that head, and were not changed since.")
    return entries


def _document(receipt: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], found: Findings) -> Envelope | None:
    if any(one["detail"].get("digest") != receipt["digest"] for one in entries):
        raise BadReceipt("The log speaks of another document than this receipt.")
    if "envelope" not in receipt:
        found.unknown.append(f"What was decided on: this has the document's SHA-256 alone ({receipt['digest']}). Whoever has the "
                             "document can compare; without it nobody can tell whether its requirement was met.")
        return None
    raw = receipt["envelope"].encode()
    if digest(raw) != receipt["digest"]:
        raise BadReceipt("The document is not the one that was held: its SHA-256 differs.")
    try:
        envelope = read_envelope(raw)
    except BadEnvelope as error:
        raise BadReceipt(f"The document is not one: {error}.") from error
    if envelope["action"] != receipt["action"]:
        raise BadReceipt("The document is of another action.")
    found.verified.append(f"The document is the one that was held at {envelope['created_at']}: SHA-256 {receipt['digest']}.")
    return envelope


def _decision(one: Mapping[str, Any], receipt: Mapping[str, Any], keys: Keys) -> Mapping[str, Any]:
    try:
        body = parse_statement(Statement(one["body"], one["signature"]), keys.authority)
    except (KeeperError, ValueError, TypeError, AttributeError) as error:
        raise BadReceipt("A decision was not signed by the keeper.") from error
    if body.get("action") != receipt["action"] or body.get("digest") != receipt["digest"]:
        raise BadReceipt("A decision is on something else.")
    return {**body, "signature": one["signature"]}


def _logged(
    receipt: Mapping[str, Any], bodies: Sequence[Mapping[str, Any]], entries: Sequence[Mapping[str, Any]], found: Findings
) -> None:
    """Attack: a decision is left out, or one that was never recorded is put in."""
    logged = [one["detail"].get("statement") for one in entries if one["kind"] == "action.decided"]
    if sorted(map(str, logged)) != sorted(one["signature"] for one in bodies) or len(set(logged)) != len(logged):
        raise BadReceipt("The decisions are not those that the log recorded.")
    if not bodies:
        found.unknown.append("Nobody has decided on it in the time that this receipt covers.")
    for body in bodies:
        where = f" as a member of {', '.join(body['groups'])}" if body["verdict"] == "approve" and body["groups"] else ""
        done = SAID.get(body["verdict"], f"gave the verdict “{body['verdict']}”")
        found.verified.append(f"{body['name']} ({body['person']}) {done}{where} at {body['at']}. The keeper signed that.")


def _factor(body: Mapping[str, Any], document: str, found: Findings) -> None:
    factor, name = body["factor"], body["name"]
    if body["verdict"] == "reject":
        found.weaker.append(f"{name}’s rejection: the keeper’s word alone. A rejection asks for no passkey of its own.")
    elif factor.get("webauthn"):
        try:
            key = check(factor["webauthn"], verdict=body["verdict"], digest=document)
        except BadWitness as error:
            raise BadReceipt(f"{name}’s passkey did not sign this. {error}") from error
        found.verified.append(f"{name}’s passkey (public key, SHA-256: {key}) signed this verdict on this very document, at "
                              f"{factor['webauthn']['origin']}, and verified its user.")
        found.unknown.append(f"Whose passkey that is: the keeper says {name}’s, enrolled at {factor['created_at']}.")
    elif factor.get("kind") == "idp":
        found.weaker.append(f"{name} decided by signing in again at {factor.get('issuer', '')} at {factor.get('auth_time', '')} "
                            f"(acr {factor.get('acr') or 'not said'}). That it was for this document is the keeper’s word alone.")
    elif factor.get("kind") == "totp":
        found.weaker.append(f"{name} decided with an authenticator code. A code signs nothing: that it was given for this "
                            "document is the keeper’s word alone.")
    else:
        found.weaker.append(f"{name}’s passkey: what it signed was not kept. That it signed this is the keeper’s word alone.")


def _course(
    receipt: Mapping[str, Any], envelope: Envelope | None, entries: Sequence[Mapping[str, Any]], keys: Keys, found: Findings
) -> None:
    for one in entries:
        if one["kind"] not in ("action.held", "action.decided"):
            found.verified.append(f"The log says at {one['at']}: {one['kind'].removeprefix('action.')}.")
    ran = next((one for one in entries if one["kind"] == "action.executing"), None)
    if ran is None or envelope is None:
        return
    if any(json.loads(one["body"])["verdict"] == "break_glass" for one in receipt["decisions"]):
        found.unknown.append("It was passed by breaking the glass: whether the keeper’s configuration names that person, the "
                             "keeper alone knows.")
        return
    statements = [Statement(one["body"], one["signature"]) for one in receipt["decisions"]]
    met = satisfied(envelope["requirement"], statements, receipt["envelope"].encode(), keys=keys.authority,
                    now=datetime.fromisoformat(ran["at"]))
    if not met:
        raise BadReceipt(f"It ran, and these decisions are not what its document asks for. {getattr(met, 'reason', '')}".strip())
    found.verified.append("When it ran, the decisions met all that its document asks for.")


def _limits(envelope: Envelope | None, bodies: Sequence[Mapping[str, Any]], found: Findings) -> None:
    if envelope is not None and envelope["facts"].get("enforced") is False:
        found.unknown.append("What the server did with the token: it reported the call and made it itself.")
    found.unknown += [
        "What the other side did with the call: the log says what was sent and answered, not what became of it there.",
        "Whether anything was recorded on this action after this head, or left out of this file: the whole log says that.",
        "Whether somebody had the keeper’s own keys. docs/security.md says what that would take.",
    ]


def fingerprint(key: VerifierKey) -> str:
    return hashlib.sha256(key.public).hexdigest()
