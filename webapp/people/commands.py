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

STEP_UP = "/actions/sign-in-again/back"
"""Of `approvals`, on a floor above (a test says that they are the same)."""


def _counts(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """`ACR=totp`: an authentication context may be a URL with `=` in it, what it counts as may not."""
    pairs = [one.rpartition("=") for one in given]
    if not all(name and counts in ("totp", "passkey") for name, _, counts in pairs):
        raise click.BadParameter("write NAME=totp or NAME=passkey")
    return {name: counts for name, _, counts in pairs}


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
@click.option("--step-up-acr", "step_up_acr", multiple=True, metavar="ACR=totp|passkey", callback=_counts,
              help="Let people decide by signing in again in this authentication context, which counts as a code, or, where you "
                   "know that it resists phishing, as a passkey.")
@click.option("--step-up-amr", "step_up_amr", multiple=True, metavar="METHOD=totp|passkey", callback=_counts,
              help="The same by method (RFC 8176), where the provider says no context.")
def add(issuer: str, client_id: str, client_secret_file: Path | None, groups_claim: str, **more: Any) -> None:
    """Let persons sign in at ISSUER, by OpenID Connect discovery. The secret goes to the keeper and nowhere else."""
    settings = Settings()
    record: dict[str, Any] = {"issuer": issuer.rstrip("/"), "client_id": client_id, "groups_claim": groups_claim}
    given = {name: value for name, value in more.items() if value not in ((), None, {})}
    record |= {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
    if client_secret_file is not None:
        record["client_secret"] = client_secret_file.read_text("utf-8").strip()
    with closing(Door(settings.socket, timeout=settings.door_timeout)) as door:
        door.idp_put(settings.people.idp, record)
    click.echo(f"Persons sign in at {issuer}. Register this redirect address there:\n{settings.public_url}{CALLBACK}")
    click.echo(f"And this one for back-channel logout, with its session required:\n{settings.public_url}{LOGOUT}")
    if record.get("step_up_acr") or record.get("step_up_amr"):
        click.echo(f"And this redirect address, for decisions by signing in again:\n{settings.public_url}{STEP_UP}")
