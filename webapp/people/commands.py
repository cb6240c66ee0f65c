"""`counterseal idp`: where persons sign in."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import click

from vault.door import Door
from webapp.config import Settings
from webapp.people.backchannel import LOGOUT
from webapp.people.sign_in import CALLBACK


@click.group()
def idp() -> None:
    """The identity provider where persons sign in."""


@idp.command("add")
@click.argument("issuer")
@click.option("--client-id", required=True, help="The client id that it gave this installation.")
@click.option(
    "--client-secret-file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file that holds the client secret.",
)
@click.option("--scope", "scopes", multiple=True, help="Scopes to ask for beside openid; profile and email by default.")
@click.option("--groups-claim", default="groups", show_default=True, help="The claim that lists a person's groups.")
@click.option("--acr", "acr_values", multiple=True, help="Accept only sign-ins of these authentication contexts.")
@click.option("--amr", "amr_values", multiple=True, help="Accept only sign-ins that used one of these methods (RFC 8176).")
@click.option("--max-age", type=click.IntRange(0), help="Accept only sign-ins at most this many seconds old.")
def add(issuer: str, client_id: str, client_secret_file: Path | None, groups_claim: str, **more: Any) -> None:
    """Let persons sign in at ISSUER, by OpenID Connect discovery. The secret goes to the keeper and nowhere else."""
    settings = Settings()
    record: dict[str, Any] = {"issuer": issuer.rstrip("/"), "client_id": client_id, "groups_claim": groups_claim}
    given = {name: value for name, value in more.items() if value not in ((), None)}
    record |= {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
    if client_secret_file is not None:
        record["client_secret"] = client_secret_file.read_text("utf-8").strip()
    with closing(Door(settings.socket, timeout=settings.door_timeout)) as door:
        door.idp_put(settings.people.idp, record)
    click.echo(f"Persons sign in at {issuer}. Register this redirect address there:\n{settings.public_url}{CALLBACK}")
    click.echo(f"And this one for back-channel logout, with its session required:\n{settings.public_url}{LOGOUT}")
