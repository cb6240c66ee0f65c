"""Starts the process that sends (`egress`), waits for it within bounds, and puts its answer into words."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vault.secret import Secret
from webapp import modules
from webapp.config_notices import Notices
from webapp.errors import LimitReached, Said, one_of_ours, said
from webapp.notices.words import Message

PATIENCE = 65.0
"""Seconds; the process ends itself before that."""
AT_ONCE = 2
"""Processes that people wait for, in each web process; and as many again for the worker's messages, which has more seats than
that for other work."""
ROOT = Path(__file__).resolve().parents[2]
HANDED = ("PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "PYTHONPATH")
"""Of the environment. No proxy, no home folder with passwords for hosts in it, nothing of ours."""

WORDS = {
    "scheme": said("That kind of channel is not allowed here. An operator's list says which are."),
    "address": said("That is not an address of a service this installation knows."),
    "unverified": said("That address says not to check the service's certificate. Leave that out."),
    "inside": said("The service is at an address of the inside, or is not sent to encrypted. Only an operator can allow that."),
    "away": said("The service could not be reached."),
    "slow": said("The service took too long to answer."),
    "refused": said("The service did not take the message."),
    "gone": said("The browser has taken its permission back."),
    "absent": said("This installation was made without Apprise."),
    "fault": said("The message could not be sent. Check the address."),
}

KEPT = re.compile(r"(.+) \(It answered ([0-9]{3})\.\)")

_waited_for, _messages = threading.BoundedSemaphore(AT_ONCE), threading.BoundedSemaphore(AT_ONCE)


@dataclass(frozen=True)
class Answer:
    """`why` is empty where it went well; `service` is the service's name, of an address that was checked."""

    why: str = ""
    status: int | None = None
    service: str = ""

    @property
    def good(self) -> bool:
        return not self.why

    @property
    def words(self) -> str:
        why = WORDS.get(self.why, WORDS["fault"]) if self.why else ""
        return _answered(why, self.status) if why and self.status else why


def _answered(why: str, status: int) -> Said:
    return said("%(why)s (It answered %(status)s.)", why=why, status=status)


def retold(failure: str) -> Said:
    """What a row keeps of `Answer.words`, as what we say."""
    kept = KEPT.fullmatch(failure)
    return _answered(one_of_ours(kept[1]), int(kept[2])) if kept else one_of_ours(failure)


def check(settings: Notices, url: Secret[str]) -> Answer:
    """Whether this is an address that may be used, and of which service. Nothing is sent. Raises LimitReached."""
    return _seated({"do": "check", "url": url.reveal(), **_bounds(settings)}, _waited_for)


def send(settings: Notices, url: Secret[str], message: Message, *, waited_for: bool = False) -> Answer:
    """`waited_for`: a person looks at a page meanwhile. Raises LimitReached where all seats are taken."""
    request = {"do": "send", "url": url.reveal(), "title": message.title, "body": message.body, **_bounds(settings)}
    return _seated(request, _waited_for if waited_for else _messages)


def push(settings: Notices, endpoint: str, body: str, headers: Mapping[str, str], *, waited_for: bool = False) -> Answer:
    """`body` in base64. Raises LimitReached as `send` does."""
    request = {"do": "push", "url": endpoint, "body": body, "headers": dict(headers), **_bounds(settings)}
    return _seated(request, _waited_for if waited_for else _messages)


def _bounds(settings: Notices) -> dict[str, Any]:
    return {"schemes": settings.schemes, "networks": settings.networks}


def _seated(request: Mapping[str, Any], seats: threading.BoundedSemaphore) -> Answer:
    if not seats.acquire(blocking=False):
        raise LimitReached("Several messages are being tried just now. Try again in a moment.")
    try:
        return _run(request)
    finally:
        seats.release()


def _run(request: Mapping[str, Any]) -> Answer:
    """The request goes in by stdin: other users of a machine can read what a process was started with. In a session of its own: a
    Ctrl-C is the supervisor's to hear, and a message that is on its way arrives or not, but does not fail halfway."""
    environ = {name: os.environ[name] for name in HANDED if name in os.environ}
    try:
        done = subprocess.run(
            modules.command("webapp.notices.egress"), input=json.dumps(request).encode(), stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, timeout=PATIENCE, cwd=ROOT, env={**environ, "HOME": os.devnull}, check=False,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        return Answer("slow")
    if done.returncode != 0:
        return Answer("slow" if done.returncode < 0 else "fault")
    try:
        found = json.loads(done.stdout)
        return Answer(found["why"], found["status"], found.get("service", ""))
    except (ValueError, TypeError, KeyError, AttributeError):  # a plugin's own words, or half an answer
        return Answer("fault")
