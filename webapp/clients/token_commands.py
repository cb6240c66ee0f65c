"""`counterseal client add`, `allow`, `owner`, `certify`, `add-key`, `end-key`, `revoke-certificate`: for token clients alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import click
from sqlalchemy.orm import Session

from vault.door import Certified
from vault.providers.catalogue import load
from webapp.clients import certificates, keys, lookup, overview, permissions, token_clients
from webapp.clients.permissions import Allow
from webapp.clients.token_clients import BY_CERTIFICATE, BY_KEY, Registration
from webapp.config import Settings
from webapp.errors import BadInput
from webapp.ids import new_id
from webapp.web.house import House, opened, utc_now

CLI = "cli"
F = TypeVar("F", bound=click.decorators.FC)  # type: ignore[valid-type]
File = click.Path(exists=True, dir_okay=False, path_type=Path)
Out = click.Path(dir_okay=False, writable=True, path_type=Path)


@dataclass(frozen=True)
class People:
    """`one`: the id of the person that an operator named, by id, sign-in name or e-mail. Raises Missing, BadInput. `names`: of
    persons, by id."""

    one: Callable[[Session, str], str]
    names: Callable[[Session, Iterable[str]], dict[str, str]]


def _permitting(command: F) -> F:
    """The options that say what a client may ask for."""
    for name, shape, words in (
        ("resource-id", "PROVIDER:ID", "A thing at the provider that it may name (a repository, a folder); repeatable."),
        ("tool", "PROVIDER:TOOL", "A tool of its own that it may ask for tokens for, where it names tools; repeatable."),
        ("allow", "PROVIDER:SCOPE,…", "Scopes that it may ask for, of accounts that people let it use; repeatable."),
    ):
        command = click.option(f"--{name}", multiple=True, metavar=shape, help=words)(command)
    return command


def _read(settings: Settings, allow: tuple[str, ...], tool: tuple[str, ...], resource_id: tuple[str, ...]) -> list[Allow]:
    found, catalogue = permissions.read(allow, tool, resource_id), load(settings.instance, local=settings.evaluation)
    for one in found:
        known = catalogue.get(one.provider)
        unknown = [scope for scope in one.scopes if known is None or scope not in known.scopes]
        if unknown:
            click.echo(f"Note: the catalogue has no words for {', '.join(unknown)} at {one.provider}.", err=True)
    return found


def _certify(house: House, client: str, csr: Path) -> Certified:
    lifetime = house.settings.clients.certificate_lifetime
    return house.door.certify(client=client, csr=csr.read_text("utf-8", errors="replace"), lifetime=lifetime)


@click.command("add")
@click.argument("name")
@click.option("--csr", type=File, help="A certificate request (PKCS#10, PEM), for a client that proves itself by mutual TLS.")
@click.option("--out", type=Out, help="Where its certificate is written.")
@click.option("--jwk", type=File, help="A public key (JWK), for a client that signs assertions (private_key_jwt).")
@_permitting
@click.option("--resource", metavar="URL", help="Its own MCP endpoint, if agents call it: they can then get tokens for it here.")
@click.option("--redirect-uri", multiple=True, help="Where persons come back to, if it signs them in here; repeatable.")
@click.option("--owner", metavar="PERSON", help="Whose it is (id, sign-in name or e-mail): they approve nothing it asks for.")
@click.pass_obj
def add_command(
    people: People, name: str, csr: Path | None, out: Path | None, jwk: Path | None, allow: tuple[str, ...],
    tool: tuple[str, ...], resource_id: tuple[str, ...], resource: str | None, redirect_uri: tuple[str, ...], owner: str | None,
) -> None:
    """Register NAME, an MCP server that asks for tokens. Its private key stays with it: only a certificate request, or the public
    key, is needed here."""
    if (csr is None) == (jwk is None) or (csr is None) != (out is None):
        raise click.UsageError("Give --csr and --out, or --jwk.")
    settings, client_id = Settings(), new_id("client")
    asked = Registration(name, _read(settings, allow, tool, resource_id), resource, list(redirect_uri))
    token_clients.check(asked, settings)
    with opened(settings) as house:
        asked = replace(asked, owner=_person(house, people, owner))
        proof = _certify(house, client_id, csr) if csr is not None else (jwk or Path()).read_text("utf-8", errors="replace")
        house.database.write(lambda s: token_clients.add(
            s, client_id, asked, proof=proof, settings=settings, actor=CLI, now=house.clock()
        ))
        _written(out, proof)
        _say(house, people, client_id)


def _person(house: House, people: People, called: str | None) -> str:
    if called is None:
        return ""
    with house.database.read() as session:
        return people.one(session, called)


def _written(out: Path | None, proof: str | Certified) -> None:
    if out is not None and isinstance(proof, Certified):
        out.write_text(proof.pem)
        click.echo(f"Its certificate is in {out}, good until {proof.not_after:%Y-%m-%d %H:%M} UTC. It renews it itself.")


def _say(house: House, people: People, client_id: str) -> None:
    with house.database.read() as session:
        client = lookup.get(session, client_id)
        found = overview.of(session, [client], house.settings, house.clock())[client_id]
        names = people.names(session, {found.owner} - {""})
    click.echo(f"{client.id}  {client.name}: proves itself by {found.by} ({found.method}).")
    if found.owner:
        click.echo(f"  its owner, who approves nothing that it asks for: {names[found.owner]} ({found.owner})")
    else:
        click.echo(f"  {overview.NOBODY}. Name one: counterseal client owner {client.id} PERSON")
    for each in found.asks:
        for scope in each.scopes:
            click.echo(f"  may ask at {each.title} for: {scope.words or 'what nobody described'} ({scope.scope})")
    if not found.asks:
        click.echo("  may ask for nothing yet: counterseal client allow")


@click.command("allow")
@click.argument("client_id")
@_permitting
@click.pass_obj
def allow_command(
    people: People, client_id: str, allow: tuple[str, ...], tool: tuple[str, ...], resource_id: tuple[str, ...]
) -> None:
    """Say anew what CLIENT_ID may ask for: all of it, in place of what was said before. Without options: nothing."""
    settings = Settings()
    allowed = _read(settings, allow, tool, resource_id)

    def work(session: Session) -> None:
        if lookup.token_client(session, client_id) is None:
            raise BadInput("There is no such token client.")
        permissions.put(session, client_id, allowed, actor=CLI, now=utc_now())

    with opened(settings) as house:
        house.database.write(work)
        _say(house, people, client_id)


@click.command("owner")
@click.argument("client_id")
@click.argument("person")
@click.pass_obj
def owner_command(people: People, client_id: str, person: str) -> None:
    """Say whose CLIENT_ID is: PERSON (id, sign-in name or e-mail) approves nothing that it asks for from now on."""
    with opened(Settings()) as house:
        owner = _person(house, people, person)
        house.database.write(lambda s: token_clients.own(s, client_id, owner, actor=CLI, now=house.clock()))
        _say(house, people, client_id)


@click.command("certify")
@click.argument("client_id")
@click.option("--csr", type=File, required=True, help="A certificate request (PKCS#10, PEM).")
@click.option("--out", type=Out, required=True, help="Where the certificate is written.")
def certify_command(client_id: str, csr: Path, out: Path) -> None:
    """Give CLIENT_ID another certificate: where the one it had ran out before it could renew it itself."""
    with opened(Settings()) as house:
        with house.database.read() as session:
            token_clients.registered(session, client_id, BY_CERTIFICATE)
        given = _certify(house, client_id, csr)
        house.database.write(lambda s: certificates.record(s, client_id, given, actor=CLI, now=house.clock()))
        _written(out, given)


@click.command("add-key")
@click.argument("client_id")
@click.option("--jwk", type=File, required=True, help="A public key (JWK).")
def add_key_command(client_id: str, jwk: Path) -> None:
    """Give CLIENT_ID another key, so that it can change over before the old one is ended."""

    def work(session: Session) -> str:
        token_clients.registered(session, client_id, BY_KEY)
        return keys.add(session, client_id, jwk.read_text("utf-8", errors="replace"), actor=CLI, now=utc_now())

    with opened(Settings()) as house:
        click.echo(f"{house.database.write(work)} was added. It counts from the next request on.")


@click.command("end-key")
@click.argument("key_id")
def end_key_command(key_id: str) -> None:
    """End a key: nothing signed with it is believed from the next request on."""
    with opened(Settings()) as house:
        house.database.write(lambda s: keys.end(s, key_id, actor=CLI, now=house.clock()))
        click.echo(f"{key_id} was ended.")


@click.command("revoke-certificate")
@click.argument("serial")
def revoke_certificate_command(serial: str) -> None:
    """Take back one certificate, by its serial number, with every one that was renewed from it."""
    with opened(Settings()) as house:
        house.database.write(lambda s: certificates.revoke(s, serial.lower(), actor=CLI, now=house.clock()))
        click.echo(f"{serial} was revoked, with what was renewed from it. All of it is refused from now on.")


@click.command("ca")
def ca_command() -> None:
    """Print the certificate (PEM) of the authority for client certificates, for a proxy that ends TLS."""
    with opened(Settings()) as house:
        click.echo(house.door.client_ca(), nl=False)


COMMANDS = (
    ca_command, add_command, allow_command, owner_command, certify_command, add_key_command, end_key_command,
    revoke_certificate_command,
)
