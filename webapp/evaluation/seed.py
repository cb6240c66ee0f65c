"""What an evaluation instance comes with: the identity provider, the bank and its server, the default policies. Audited as
"evaluation"; the same at each start, so that it is done at each start."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from sqlalchemy.orm import Session

from vault.errors import KeeperError
from webapp import audit
from webapp.errors import CountersealError
from webapp.evaluation.identity import CLIENT_ID, client_secret
from webapp.evaluation.persons import PERSONS
from webapp.evaluation.run import Run
from webapp.policy import active
from webapp.policy.engine import PolicySet
from webapp.registry import fetch, seed
from webapp.registry.rules import Approval
from webapp.web.house import House

log = logging.getLogger("counterseal.evaluation")

ACTOR = "evaluation"
PROVIDER = "harbour"
SERVER = "bank"
PAUSE = 0.2


TOOLS = {
    "get_balance": Approval("read", provider=PROVIDER, scopes=("accounts:read",)),
    "list_payees": Approval("read", provider=PROVIDER, scopes=("payees:read",)),
    "send_payment": Approval("money", provider=PROVIDER, scopes=("payments:send",), pointers={
        "amount": {"pointer": "/amount", "unit": "major"},
        "currency": {"pointer": "/currency"},
        "recipient": {"pointer": "/iban", "kind": "iban"},
    }),
}
"""How the bank's tools are pinned: class, facts, the scopes of the token each gets."""


def identity_provider(run: Run) -> dict[str, Any]:
    return {
        "issuer": run.identity, "client_id": CLIENT_ID, "client_secret": client_secret(run).reveal(),
        "scopes": ["profile", "email"], "groups_by_subject": {person.subject: list(person.groups) for person in PERSONS},
    }


def provider(run: Run) -> dict[str, Any]:
    return {
        "client_id": "counterseal", "client_secret": run.password("bank client").reveal(), "issuer": run.bank,
        "authorize_url": f"{run.bank}/oauth/authorize", "token_url": f"{run.bank}/oauth/token",
        "revoke_url": f"{run.bank}/oauth/revoke", "userinfo_url": f"{run.bank}/api/customer",
    }


def plant(house: House, run: Run) -> None:
    """Raises KeeperError and CountersealError while a part does not answer yet."""
    house.door.idp_put(house.settings.people.idp, identity_provider(run))
    house.door.provider_put(PROVIDER, provider(run))
    listed = fetch.list_tools(f"{run.mcp}/mcp", None)
    rules = active.loaded(house.settings)
    house.database.write(lambda s: _plant(s, house, run, listed, rules))


def _plant(session: Session, house: House, run: Run, listed: list[dict[str, Any]], rules: PolicySet) -> None:
    now = house.clock()
    active.activate(session, rules, ACTOR, now)
    seed.put(
        session, name=SERVER, title="Harbour Bank", url=f"{run.mcp}/mcp", provider=PROVIDER, listed=listed, approvals=TOOLS,
        by=ACTOR, now=now,
    )
    audit.append(
        session, kind="evaluation.seeded", actor=ACTOR, subject="instance",
        detail={"identity_provider": run.identity, "provider": PROVIDER, "server": SERVER}, at=now,
    )


def start(house: House, run: Run, seeded: threading.Event) -> threading.Thread:
    """Plant in the background, as soon as everything answers."""

    def until_done() -> None:
        last = ""
        while not seeded.is_set():
            try:
                plant(house, run)
                seeded.set()
            except (KeeperError, CountersealError) as error:
                if error.code != last:
                    log.warning("seeding waits: %s (%s)", error.hint, error.detail)
                last = error.code
                time.sleep(PAUSE)

    thread = threading.Thread(target=until_done, name="seed", daemon=True)
    thread.start()
    return thread
