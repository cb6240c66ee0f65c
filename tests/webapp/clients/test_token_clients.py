"""Token clients: what an operator types, what an admin sees and takes back, and what no registration can be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.jwk import ECKey

from tests.app_parts import People
from tests.csr import csr, new_key
from tests.keeper_parts import PUBLIC_URL, KeeperParts
from tests.token_client import with_certificate, with_key
from webapp.audit.tables import Entry
from webapp.cli import main
from webapp.clients import certificates, keys, lookup, permissions, token_clients
from webapp.clients.tables import Client
from webapp.clients.token_clients import Registration
from webapp.db import Database
from webapp.errors import BadInput, Conflict
from webapp.ids import new_id
from webapp.web.house import House

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Terminal:
    """An operator's, on the machine of the keeper."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(main, ["client", *words])

    def file(self, name: str, content: str) -> str:
        (self.folder / name).write_text(content)
        return str(self.folder / name)

    def csr(self) -> str:
        return self.file("it.csr", csr(new_key()))

    def jwk(self, key: ECKey | None = None, name: str = "it.json") -> str:
        return self.file(name, json.dumps((key or ECKey.generate_key("P-256")).as_dict(private=False)))


@pytest.fixture
def terminal(database: Database, keeper: KeeperParts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Terminal:
    monkeypatch.setenv("COUNTERSEAL_DATABASE_URL", database.url)
    monkeypatch.setenv("COUNTERSEAL_DOOR_SOCKET", str(keeper.door.socket))
    monkeypatch.setenv("COUNTERSEAL_PUBLIC_URL", PUBLIC_URL)
    return Terminal(tmp_path)


def only(database: Database) -> Client:
    with database.read() as session:
        return lookup.page(session)[0]


def test_a_certificate_request_goes_in_and_a_certificate_comes_out(terminal: Terminal, database: Database) -> None:
    out = terminal.folder / "it.pem"
    done = terminal.run(
        "add", "Payments", "--csr", terminal.csr(), "--out", str(out), "--allow", "github:repo:status,read:user",
        "--tool", "github:set_status", "--resource-id", "github:octo/repo", "--resource", "https://payments.example/mcp",
        "--redirect-uri", "https://payments.example/callback",
    )
    assert done.exit_code == 0, done.output
    client = only(database)
    assert f"{client.id}  Payments: proves itself by a client certificate" in done.output
    assert "(repo:status)" in done.output
    names = x509.load_pem_x509_certificate(out.read_bytes()).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [*names] == [x509.UniformResourceIdentifier(f"spiffe://localhost/client/{client.id}")]
    with database.read() as session:
        allowed = permissions.of(session, client.id)["github"]
        assert (allowed.scopes, allowed.tools, allowed.resources) == (["repo:status", "read:user"], ["set_status"], ["octo/repo"])
        assert lookup.by_resource(session, "https://payments.example/mcp").id == client.id  # type: ignore[union-attr]
        kinds = [row.kind for row in session.query(Entry).order_by(Entry.id)]
    assert kinds == ["client.registered", "client.certified", "client.allowed"]
    listed = terminal.run("list").output
    assert "token  active" in listed
    assert "certificate " in listed


def test_a_client_with_a_key_changes_it_over(terminal: Terminal, database: Database) -> None:
    assert terminal.run("add", "Desk", "--jwk", terminal.jwk()).exit_code == 0
    client = only(database)
    added = terminal.run("add-key", client.id, "--jwk", terminal.jwk(name="next.json"))
    assert "was added" in added.output
    with database.read() as session:
        first, second = keys.live(session, client.id)
    assert terminal.run("end-key", first.id).exit_code == 0
    assert terminal.run("end-key", first.id).exit_code == 1
    with database.read() as session:
        assert [key.id for key in keys.live(session, client.id)] == [second.id]
    wrong = terminal.run("certify", client.id, "--csr", terminal.csr(), "--out", str(terminal.folder / "x.pem"))
    assert wrong.exit_code == 1
    assert "its own key" in wrong.output


def test_a_lapsed_certificate_is_given_anew_and_one_can_be_taken_back(terminal: Terminal, database: Database) -> None:
    out = str(terminal.folder / "it.pem")
    assert terminal.run("add", "Payments", "--csr", terminal.csr(), "--out", out).exit_code == 0
    client = only(database)
    assert terminal.run("certify", client.id, "--csr", terminal.csr(), "--out", out).exit_code == 0
    serial = x509.load_pem_x509_certificate(Path(out).read_bytes()).serial_number
    with database.read() as session:
        found = [row.serial for row in session.query(certificates.Certificate)]
    mine = next(one for one in found if int(one.replace(":", ""), 16) == serial)
    assert terminal.run("revoke-certificate", mine.upper()).exit_code == 0
    assert "revoked already" in terminal.run("revoke-certificate", mine).output
    assert "no such certificate" in terminal.run("revoke-certificate", "aa:bb").output
    assert terminal.run("pause", client.id).exit_code == 0
    assert "paused" in terminal.run("certify", client.id, "--csr", terminal.csr(), "--out", out).output
    assert terminal.run("resume", client.id).exit_code == 0


def test_what_it_may_ask_for_is_said_anew_as_a_whole(terminal: Terminal, database: Database) -> None:
    assert terminal.run("add", "Desk", "--jwk", terminal.jwk(), "--allow", "github:repo").exit_code == 0
    client = only(database)
    assert terminal.run("allow", client.id, "--allow", "google:openid").exit_code == 0
    with database.read() as session:
        assert [*permissions.of(session, client.id)] == ["google"]
    assert "nothing yet" in terminal.run("allow", client.id).output
    assert terminal.run("allow", "client_nobody", "--allow", "google:openid").exit_code == 1


@ON_SQLITE
def test_its_owner_is_named_and_shown_or_that_nobody_is(terminal: Terminal, database: Database, signed_in: People) -> None:
    ada, root = signed_in("ada"), signed_in("root", groups=["admin"])
    assert "nobody is named as its owner" in terminal.run("add", "Desk", "--jwk", terminal.jwk()).output
    client = only(database)
    assert "whoever runs it may approve what it asks for" in root.get("/clients").text
    named = terminal.run("owner", client.id, "ada@people.example")
    assert f"Ada ({ada.person})" in named.output, named.output
    assert f"owned by 'Ada' ({ada.person})" in terminal.run("list").output
    assert f"Ada ({ada.person})" in terminal.run("allow", client.id).output
    page = root.get("/clients").text
    assert "<bdi>Ada</bdi>" in page
    assert "approves nothing that it asks for" in page
    second = terminal.run("add", "Second", "--jwk", terminal.jwk(name="2.json"), "--owner", root.person)
    assert f"Root ({root.person})" in second.output, second.output
    with database.read() as session:
        assert lookup.token_client(session, client.id).owner == ada.person  # type: ignore[union-attr]
        told = [row.body for row in session.query(Entry).where(Entry.kind == "client.owned")]
    assert len(told) == 1
    assert terminal.run("owner", "client_none", ada.person).exit_code == 1


@pytest.mark.parametrize(("words", "said"), [
    (("add", "X", "--jwk", "{jwk}", "--owner", "nobody@people.example"), "has signed in here yet"),
    (("add", "X", "--jwk", "{jwk}", "--owner", ""), "has signed in here yet"),
    (("add", "X"), "--csr and --out, or --jwk"),
    (("add", "X", "--csr", "{csr}"), "--csr and --out, or --jwk"),
    (("add", "X", "--csr", "{csr}", "--out", "{out}", "--jwk", "{jwk}"), "--csr and --out, or --jwk"),
    (("add", "X", "--csr", "{jwk}", "--out", "{out}"), "not a certificate request"),
    (("add", "X", "--csr", "{weak}", "--out", "{out}"), "needs a key on"),
    (("add", "X", "--jwk", "{private}"), "private key"),
    (("add", "X", "--jwk", "{jwk}", "--allow", "github"), "not of the form"),
    (("add", "X", "--jwk", "{jwk}", "--allow", "github:"), "not of the form"),
    (("add", "X", "--jwk", "{jwk}", "--allow", "github:a,,b"), "scope is missing"),
    (("add", "X", "--jwk", "{jwk}", "--allow", 'github:a"b'), "no scope has"),
    (("add", "X", "--jwk", "{jwk}", "--tool", "github:t"), "could never be used"),
    (("add", "X", "--jwk", "{jwk}", "--resource", "http://payments.example/mcp"), "https URL"),
    (("add", "X", "--jwk", "{jwk}", "--resource", f"{PUBLIC_URL}/mcp/bank"), "https URL"),
    (("add", "X", "--jwk", "{jwk}", "--resource", "https://x.example/mcp?a=b"), "without a query"),
    (("add", "X", "--jwk", "{jwk}", "--resource", "com.example.app:/x"), "without a query"),
    (("add", "X", "--jwk", "{jwk}", "--redirect-uri", "http://evil.example/cb"), "redirect URI"),
    (("add", " ", "--jwk", "{jwk}"), "a name"),
])
@ON_SQLITE
def test_what_cannot_be_registered_is_said_and_nothing_is_written(
    terminal: Terminal, database: Database, words: tuple[str, ...], said: str
) -> None:
    files = {
        "{csr}": terminal.csr(), "{jwk}": terminal.jwk(), "{out}": str(terminal.folder / "out.pem"),
        "{weak}": terminal.file("weak.csr", csr(rsa.generate_private_key(65537, 1024))),
        "{private}": terminal.file("private.json", json.dumps(ECKey.generate_key("P-256").as_dict(private=True))),
    }
    done = terminal.run(*(files.get(word, word) for word in words))
    assert done.exit_code != 0
    assert said in done.output
    with database.read() as session:
        assert lookup.page(session) == []
        assert session.query(Entry).count() == 0


def test_a_resource_is_one_clients(house: House) -> None:
    with_key(house, "First", resource="https://payments.example/mcp")
    with pytest.raises(Conflict, match="Another client"):
        with_key(house, "Second", resource="https://payments.example/mcp")
    with_key(house, "Third")
    with_key(house, "Fourth")


def test_a_registration_without_its_certificate_is_none(house: House) -> None:
    """A first certificate that is already another client's rolls everything back."""
    first = with_certificate(house, "First")
    assert first.certified
    with pytest.raises(Exception, match=r"UNIQUE|unique"):
        house.database.write(lambda s: token_clients.add(
            s, new_id("client"), Registration("Second"), proof=first.certified, settings=house.settings, actor="cli",  # type: ignore[arg-type]
            now=house.clock(),
        ))
    with house.database.read() as session:
        assert [row.name for row in lookup.page(session)] == ["First"]


@pytest.mark.parametrize("text", ["", ":", "x", "X:y", "github:" + "a" * 5000, "git hub:x", "github:ä"])
def test_what_is_no_permission_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        permissions.read([text])


@ON_SQLITE
def test_an_admin_sees_what_it_may_ask_for_in_words_and_takes_its_proofs_back(signed_in: People, house: House) -> None:
    by_certificate = with_certificate(house, "Payments", allow=("github:repo:status",), resource="https://payments.example/mcp")
    by_key = with_key(house, "Desk", allow=("github:made-up",), tools=("github:t",), resource_ids=("github:r",))
    admin, person = signed_in("root", groups=["admin"]), signed_in("ada")
    page = admin.get("/clients").text
    assert by_certificate.certified
    for said in ("Payments", "a client certificate", by_certificate.certified.serial, "https://payments.example/mcp",
                 "repo:status", "What nobody described", "counterseal client add"):
        assert said in page, said
    with house.database.read() as session:
        key = keys.live(session, by_key.id)[0].id
    revoke, end = f"/clients/certificates/{by_certificate.certified.serial}/revoke", f"/clients/keys/{key}/end"
    for path in (revoke, end):
        assert person.send(path).status_code == 403
        assert signed_in.stranger().send(path).status_code in (303, 401)
    with house.database.read() as session:
        assert certificates.live(session, by_certificate.id, house.clock())
        assert keys.live(session, by_key.id)
    assert [admin.send(path).status_code for path in (revoke, end)] == [303, 303]
    assert admin.send(revoke).status_code == 409
    with house.database.read() as session:
        assert certificates.live(session, by_certificate.id, house.clock()) == keys.live(session, by_key.id) == []
    page = admin.get("/clients").text
    assert f"counterseal client certify {by_certificate.id}" in page
    assert f"counterseal client add-key {by_key.id}" in page
