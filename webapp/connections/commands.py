"""`counterseal provider`: which providers accounts can be connected at."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from vault.door import Door
from vault.errors import KeeperAway
from vault.providers.catalogue import EFFECTS, FOLDER, GENERIC, Catalogue, ProviderFacts, load
from webapp.config import Settings
from webapp.connections import discovery, own_files
from webapp.connections.providers import callback, find
from webapp.connections.rules import EFFECT_WORDS
from webapp.errors import BadInput

HIDDEN = (*GENERIC, "key", "harbour")
HOW = {"oauth": "people sign in there", "oidc": "people sign in there", "key": "people paste an API key"}
PKCE = {True: "sent", False: "not sent", "public": "sent where the client has no secret; with one the provider refuses it"}


@click.group()
def provider() -> None:
    """Providers that accounts can be connected at."""


@contextmanager
def _door(settings: Settings) -> Iterator[Door]:
    door = Door(settings.socket, timeout=settings.door_timeout)
    try:
        yield door
    finally:
        door.close()


def _catalogue(settings: Settings) -> Catalogue:
    return load(settings.instance, local=settings.evaluation)


@provider.command("add")
@click.argument("name")
@click.option("--client-id", help="The client id that the provider gave this installation.")
@click.option(
    "--client-secret-file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file that holds the client secret."
)
@click.option("--issuer", help="Of a provider that the catalogue does not know: it is asked for its endpoints.")
@click.option("--from", "base", metavar="ENTRY", help="Begin with this entry of the catalogue, under a NAME of your own.")
@click.option("--set", "values", multiple=True, metavar="KEY=VALUE", help="What the entry needs: a shop, a tenant, a host.")
@click.option("--authorize-url", help="For a provider without discovery.")
@click.option("--token-url", help="For a provider without discovery.")
@click.option("--revoke-url", help="Where it takes back tokens (RFC 7009).")
@click.option("--userinfo-url", help="Where it says which account a token is for.")
def add(
    name: str, client_id: str | None, client_secret_file: Path | None, issuer: str | None, base: str | None,
    values: tuple[str, ...], **urls: str | None
) -> None:
    """Set up NAME: one that `provider list` shows, or any name of your own with --issuer, with --from, or with the addresses of
    its endpoints."""
    settings, known = Settings(), _catalogue(Settings())
    if name in known.problems:
        raise BadInput("\n".join(known.problems[name]))
    record: dict[str, Any] = {key: value for key, value in urls.items() if value}
    if issuer and not record.get("authorize_url"):
        _tell(own_files.discovered(settings, name, _asked(settings, issuer)))
    elif issuer:
        record["issuer"] = issuer
    if base or values:
        own_files.filled(settings, name, base or name, dict(_pair(one) for one in values))
    facts = find(settings, name)
    _require_filled(facts)
    if facts.kind != "key":
        record |= _client(name, client_id, client_secret_file)
        if name not in _catalogue(settings):
            record["entry"] = "oauth"
    with _door(settings) as door:
        door.provider_put(name, record)
    _ready(settings, facts)


def _asked(settings: Settings, issuer: str) -> discovery.Found:
    found = discovery.discover(issuer, local=settings.evaluation)
    for note in found.notes:
        click.echo(f"Note: {note}")
    return found


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise BadInput(f"--set takes KEY=VALUE, and not {text[:60]!r}.")
    return key, value


def _require_filled(facts: ProviderFacts) -> None:
    if facts.needs:
        wanted = "\n".join(f"  --set {key}=…   {one.words}" for key, one in facts.needs.items())
        raise BadInput(f"{facts.title} needs to know:\n{wanted}")


def _client(name: str, client_id: str | None, secret: Path | None) -> dict[str, str]:
    if not client_id:
        raise BadInput(f"--client-id is missing: register this installation at the provider first (`provider show {name}`).")
    return {"client_id": client_id, **({"client_secret": secret.read_text("utf-8").strip()} if secret is not None else {})}


def _tell(facts: ProviderFacts) -> None:
    click.echo(f"{facts.issuer} was asked. What it said stands in providers/{facts.name}.yaml in the instance folder:")
    for key in ("authorize_url", "token_url", "revoke_url", "userinfo_url"):
        click.echo(f"  {key}: {getattr(facts, key) or 'none'}")
    click.echo(f"  names itself in its answers (RFC 9207): {'yes' if facts.iss else 'no'}")
    click.echo(f"  PKCE S256: {PKCE[facts.pkce]}")


def _ready(settings: Settings, facts: ProviderFacts) -> None:
    if facts.kind == "key":
        click.echo(f"{facts.title}: people can now paste a key under {settings.public_url}/connections.")
        return
    click.echo(f"{facts.title} can be connected. Register this redirect address there:\n{settings.public_url}{callback(facts)}")


@provider.command("list")
@click.argument("word", required=False, default="")
def list_(word: str) -> None:
    """The providers that are set up, and those that the catalogue knows; with WORD, only those it occurs in."""
    settings, known = Settings(), _catalogue(Settings())
    with _door(settings) as door:
        ready = door.providers()
    shown = [one for one in known.values() if one.name not in HIDDEN and one.name not in ready and _fits(one, word)]
    click.echo("Set up here:")
    _table((find(settings, name) for name in ready), "  none yet")
    click.echo("\nIn the catalogue. `counterseal provider show NAME` says more, `counterseal provider add NAME` sets one up:")
    for category in dict.fromkeys(one.category for one in sorted(shown, key=lambda one: one.category or "~")):
        click.echo(f"\n{category or 'Others'}")
        _table((one for one in shown if one.category == category), "")
    _complain(known)


def _fits(facts: ProviderFacts, word: str) -> bool:
    return word.lower() in f"{facts.name} {facts.title} {facts.category}".lower()


def _table(rows: Iterable[ProviderFacts], empty: str) -> None:
    found = [f"  {one.name:<20} {one.title:<32} {HOW[one.kind]}" for one in rows]
    click.echo("\n".join(found) or empty)


@provider.command("show")
@click.argument("name")
def show(name: str) -> None:
    """What is known of NAME: what to register there, what can be asked for, how it ends, and where that is documented."""
    settings, known = Settings(), _catalogue(Settings())
    if name not in known:
        unknown = [f"The catalogue does not know {name}. `provider list` shows what it knows."]
        raise BadInput("\n".join(known.problems.get(name, unknown)))
    facts = known[name]
    click.echo(f"{facts.title}: {HOW[facts.kind]}")
    for line in _how(settings, facts):
        click.echo(line)
    for effect in reversed(EFFECTS):
        for scope, one in facts.scopes.items():
            if one.effect == effect:
                click.echo(f"  {EFFECT_WORDS[effect]:<8} {one.words}   ({scope})")
    for note in facts.notes:
        click.echo(f"Note: {note}")
    click.echo("Documentation: " + "\n               ".join(facts.docs or ("none is named",)))


def _how(settings: Settings, facts: ProviderFacts) -> list[str]:
    if facts.kind == "key":
        made, ended = facts.create_url or "the service", facts.manual_revoke_url or "the service"
        return [f"The key is made at {made}, and ended at {ended}.", f"Where it goes: {facts.placement_words}."]
    told = "is told, and confirms" if facts.revoke_style != "none" else "cannot be told"
    lines = [f"Register this redirect address there: {settings.public_url}{callback(facts)}"]
    lines += [f"It needs --set {key}=…: {one.words}" for key, one in facts.needs.items()]
    lines.append(f"PKCE S256: {PKCE[facts.pkce]}{f' ({facts.pkce_docs})' if facts.pkce_docs else ''}")
    return [*lines, f"At a disconnect the provider {told}; by hand: {facts.manual_revoke_url or 'not known'}"]


@provider.command("check")
def check() -> None:
    """Read your own files in the instance's folder `providers`, and say by line what is wrong. Ends with 1 if something is."""
    settings, known = Settings(), _catalogue(Settings())
    for problems in known.problems.values():
        for problem in problems:
            click.echo(problem)
    for note in known.notes:
        click.echo(f"{note}. That is your word; the shipped entry is stricter.")
    own = sorted((settings.instance / FOLDER).glob("*.yaml"))
    fine = [path.stem for path in own if path.stem in known]
    click.echo(f"{len(own)} files of your own, {len(own) - len(fine)} of them with errors." if own else "No files of your own.")
    _orphans(settings, known)
    if known.problems:
        sys.exit(1)


def _orphans(settings: Settings, known: Catalogue) -> None:
    """Providers with a client here that no entry describes: everything at them counts as destructive."""
    try:
        with _door(settings) as door:
            ready = door.providers()
    except KeeperAway:
        click.echo("The keeper does not answer, so that what is set up there was not compared.")
        return
    for name in ready:
        if name not in known and name not in known.problems:
            click.echo(f"{name} is set up, but no file describes it: its scopes have no words, and count as destructive.")


def _complain(known: Catalogue) -> None:
    if known.problems:
        click.echo(f"\nNot readable: {', '.join(known.problems)}. `counterseal provider check` says why.", err=True)
