"""`counterseal provider`: which providers accounts can be connected at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from vault.door import Door
from vault.providers.catalogue import load
from webapp.config import Settings
from webapp.connections.providers import callback, find


@click.group()
def provider() -> None:
    """Providers that accounts can be connected at."""


def _door(settings: Settings) -> Door:
    return Door(settings.socket, timeout=settings.door_timeout)


@provider.command("add")
@click.argument("name")
@click.option("--client-id", required=True, help="The client id that the provider gave this installation.")
@click.option(
    "--client-secret-file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file that holds the client secret."
)
@click.option("--url", help="The provider's issuer, where the catalogue does not know it.")
@click.option("--authorize-url", help="For a provider without discovery.")
@click.option("--token-url", help="For a provider without discovery.")
@click.option("--revoke-url", help="Where it takes back tokens (RFC 7009).")
@click.option("--userinfo-url", help="Where it says which account a token is for.")
def add(name: str, client_id: str, client_secret_file: Path | None, url: str | None, **urls: str | None) -> None:
    """Set up NAME: one of the catalogue (github, google, microsoft, slack, gitlab), or any name of your own with --url or the
    addresses of its endpoints."""
    settings = Settings()
    record: dict[str, Any] = {"client_id": client_id, **{key: value for key, value in urls.items() if value}}
    if client_secret_file is not None:
        record["client_secret"] = client_secret_file.read_text("utf-8").strip()
    if url:
        record["issuer"] = url
    if name not in load(settings.instance, local=settings.evaluation):
        record["entry"] = "oidc" if url and not record.get("authorize_url") else "oauth"
    _door(settings).provider_put(name, record)
    facts = find(settings, name)
    click.echo(f"{facts.title} can be connected. Register this redirect address there:\n{settings.public_url}{callback(facts)}")


@provider.command("list")
def list_() -> None:
    """The providers that are set up, and those that the catalogue knows."""
    settings = Settings()
    ready = _door(settings).providers()
    for name in ready:
        click.echo(f"{name}  {find(settings, name).title}  ready")
    for name, facts in load(settings.instance, local=settings.evaluation).items():
        if name not in ready and name not in ("oidc", "oauth", "harbour"):
            click.echo(f"{name}  {facts.title}")
