"""A receipt verifies with the log's pinned key alone, and not after any change of it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select, update

from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.parts import APPROVE, CONFIRM, Server, decide, draft, held, reject
from vault.evidence import canonical
from webapp.approvals import execution
from webapp.approvals.receipt_check import BadReceipt, Findings, _factor, verify
from webapp.approvals.tables import Decision
from webapp.audit import merkle
from webapp.audit.keys import VerifierKey
from webapp.audit.tables import Entry
from webapp.cli import main
from webapp.web.house import House

Way = tuple[str | int, ...]
INSIDE = ("body", "envelope")
"""Texts that are JSON themselves: what they say is changed too."""


def pinned(receipt: dict[str, Any]) -> VerifierKey:
    return VerifierKey.parse(receipt["keys"]["log"][0])


def leaves(value: Any, way: Way = ()) -> Iterator[Way]:
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from leaves(value[key], (*way, key))
    else:
        yield way


def changed(value: Any) -> Any:
    """Something else of the same kind; of a text, a letter in its middle."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if not isinstance(value, str) or not value:
        return "x"
    at = len(value) // 2
    return value[:at] + ("B" if value[at] != "B" else "C") + value[at + 1:]


def altered(receipt: Any, way: Way) -> Any:
    made = copy.deepcopy(receipt)
    at = made
    for key in way[:-1]:
        at = at[key]
    at[way[-1]] = changed(at[way[-1]])
    return made


def inner(receipt: dict[str, Any]) -> Iterator[tuple[Way, Way]]:
    """Each leaf of each text that is JSON: where the text is, and where in it."""
    for way in leaves(receipt):
        if way[-1] in INSIDE:
            found: Any = receipt
            for key in way:
                found = found[key]
            for leaf in leaves(json.loads(found)):
                yield way, leaf


def rewritten(receipt: dict[str, Any], way: Way, leaf: Way) -> Any:
    made = copy.deepcopy(receipt)
    at: Any = made
    for key in way[:-1]:
        at = at[key]
    at[way[-1]] = canonical(altered(json.loads(at[way[-1]]), leaf)).decode()
    return made


@pytest.fixture
def ran(house: House, someone: Enrol, server: Server) -> tuple[bytes, bytes]:
    """Of a call that two people decided on and that ran: with its arguments and without."""
    ada, _ = someone("ada")
    bob, key = someone("bob", ["finance"])
    held_id = held(house, draft(house, ada.person), APPROVE)
    assert decide(bob, key, held_id).status_code == 303
    assert execution.run(house, held_id, server, server.recheck).state == "done"
    whole, bare = ada.get(f"/actions/{held_id}/receipt"), bob.get(f"/actions/{held_id}/receipt?arguments=no")
    assert (whole.status_code, bare.status_code) == (200, 200), whole.text
    assert whole.headers["Content-Disposition"] == f'attachment; filename="receipt-{held_id}.json"'
    return whole.data, bare.data


def test_it_verifies_offline_and_not_once_anything_in_it_was_changed(ran: tuple[bytes, bytes]) -> None:
    """Every leaf, also within what is signed and quoted as text: changed, it fails; left out, or joined by another, it fails."""
    for raw in ran:
        receipt = json.loads(raw)
        found = verify(raw, pinned(receipt))
        assert any("signed this verdict on this very document" in line for line in found.verified)
        assert any("done" in line for line in found.verified)
        assert ("When it ran" in " ".join(found.verified)) is ("envelope" in receipt)
        made = [altered(receipt, way) for way in leaves(receipt)]
        made += [rewritten(receipt, way, leaf) for way, leaf in inner(receipt)]
        made += [{name: value for name, value in receipt.items() if name != gone} for gone in receipt if gone != "envelope"]
        made += [{**receipt, "note": "checked"}, {**receipt, "decisions": []}, {**receipt, "decisions": receipt["decisions"] * 2}]
        made += [{**receipt, "entries": entries} for entries in (
            [], receipt["entries"][1:], receipt["entries"][::-1], [*receipt["entries"], receipt["entries"][-1]],
        )]
        for one in made:
            with pytest.raises(BadReceipt):
                verify(canonical(one), pinned(receipt))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_without_arguments_it_holds_none_of_them(ran: tuple[bytes, bytes]) -> None:
    whole, bare = ran
    assert b"Nordlicht" in whole
    assert b"Nordlicht" not in bare
    assert b"480.00" not in bare
    assert any("What was decided on" in line for line in verify(bare, pinned(json.loads(bare))).unknown)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_command_wants_a_key_that_did_not_come_with_the_receipt(ran: tuple[bytes, bytes], tmp_path: Path) -> None:
    """Exit status 0 only by a pinned key; 1 without one, with another log's, or with a changed file."""
    file, folder = tmp_path / "receipt.json", tmp_path / "keys"
    file.write_bytes(ran[0])
    folder.mkdir()

    def said(*more: str) -> tuple[int, str]:
        runner = CliRunner(env={"COUNTERSEAL_INSTANCE": str(tmp_path / "none")})
        done = runner.invoke(main, ["receipt", "verify", str(file), *more])
        return done.exit_code, done.output

    assert said("--keys", str(folder))[0] == 1
    assert said()[0] == 1
    (folder / "audit.vkey").write_text("\n".join(json.loads(ran[0])["keys"]["log"]) + "\n")
    code, text = said("--keys", str(folder))
    assert (code, "The receipt holds" in text, "A receipt cannot show" in text) == (0, True, True)
    (tmp_path / "audit.vkey").write_text((folder / "audit.vkey").read_text())
    assert said()[0] == 0
    (folder / "audit.vkey").write_text(str(VerifierKey("counterseal/other", b"\1" * 32)) + "\n")
    assert said("--keys", str(folder))[0] == 1
    file.write_bytes(ran[0].replace(b"480.00", b"481.00"))
    assert said()[0] == 1


def test_it_is_for_those_who_may_see_the_action_and_taking_it_is_recorded(house: House, someone: Enrol, server: Server) -> None:
    ada, key = someone("ada")
    eve, _ = someone("eve", ["sales"])
    mine, no = (held(house, draft(house, ada.person, grant=grant), CONFIRM) for grant in ("grt_1", "grt_2"))
    assert eve.get(f"/actions/{mine}/receipt").status_code == 404
    assert ada.get(f"/actions/{mine}/receipt?arguments=perhaps").status_code == 400
    waiting = ada.get(f"/actions/{mine}/receipt").data
    assert any("Nobody has decided" in line for line in verify(waiting, pinned(json.loads(waiting))).unknown)
    reject(ada, no)
    refused = ada.get(f"/actions/{no}/receipt").data
    assert any("rejection" in line for line in verify(refused, pinned(json.loads(refused))).weaker)
    decide(ada, key, mine)
    house.database.write(lambda s: s.execute(update(Decision).where(Decision.action == mine).values(body="{}")))
    assert ada.get(f"/actions/{mine}/receipt").status_code == 409
    with house.database.read() as session:
        taken = session.scalars(select(Entry.subject).where(Entry.kind == "receipt.taken").order_by(Entry.id)).all()
    assert taken == [mine, no]


def test_a_code_and_a_passkey_that_left_no_signature_are_said_to_be_weaker() -> None:
    for factor, word in (({"kind": "totp"}, "code signs nothing"), ({"kind": "passkey"}, "not kept")):
        found = Findings()
        _factor({"factor": factor, "verdict": "approve", "name": "Bob"}, "00" * 32, found)
        assert word in found.weaker[0]
        assert not found.verified


@pytest.mark.parametrize("size", range(1, 10))
def test_an_inclusion_proof_leads_to_the_root_from_its_own_place_alone(size: int) -> None:
    hashes = [merkle.leaf_hash(bytes([number])) for number in range(size)]
    nodes = {(level, at): value for level, at, value in merkle.grown(0, hashes, lambda *_: b"")}
    root = merkle.root(size, lambda level, at: nodes[level, at])
    for index in range(size):
        path = merkle.inclusion(index, size, lambda level, at: nodes[level, at])
        assert merkle.included(hashes[index], index, size, root, path)
        assert not any(merkle.included(hashes[index], other, size, root, path) for other in range(-1, size + 2) if other != index)
        assert not merkle.included(hashes[index], index, size, root, [*path, bytes(32)])
        assert not merkle.included(b"x" * 32, index, size, root, path)
