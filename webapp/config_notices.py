"""Settings of the room that tells people. Part of `webapp.config`."""

from __future__ import annotations

import ipaddress
import re

from pydantic import BaseModel, Field, field_validator

SCHEMES = [
    "slack", "workflow", "workflows", "msteams", "mailto", "mailtos", "pagerduty", "opsgenie", "ntfy", "ntfys", "discord",
    "tgram", "mmosts", "rockets", "gchat", "wxteams", "matrixs", "zulip", "pover", "gotifys",
]
SCHEME = re.compile(r"[a-z][a-z0-9]{1,23}", re.ASCII)
LOCAL = frozenset({
    "dbus", "gio", "glib", "gnome", "kde", "macosx", "qt", "syslog", "rsyslog", "windows", "blink1", "file", "exec", "smpp",
})
"""What Apprise does on the machine itself."""


class Notices(BaseModel):
    """Telling people by chat, mail and push."""

    schemes: list[str] = SCHEMES
    """Kinds of Apprise address (what stands before `://`) that people and admins may use."""
    networks: list[str] = []
    """Networks (`10.0.0.0/8`) of your own in which channels may be reached besides public addresses, also without encryption."""
    channels: int = Field(default=10, ge=1, le=100)
    """Of one person or group."""
    every: int = Field(default=5, ge=1, le=300)
    """Seconds between two looks at what there is to tell."""
    soon: int = Field(default=1800, ge=60, le=86400)
    """What lapses within this time lapses soon (or within a quarter of the time it had, where that is less)."""
    backoff_max: int = Field(default=3600, ge=30, le=86400)
    """The longest pause between two tries of one message."""
    give_up: int = Field(default=86400, ge=300, le=7 * 86400)
    """After this a message is not tried any more."""
    history: int = Field(default=30 * 86400, ge=86400, le=400 * 86400)
    """How long it is kept what was told."""
    push_services: list[str] = [
        "fcm.googleapis.com", "*.push.services.mozilla.com", "*.notify.windows.com", "*.push.apple.com",
    ]
    """Hosts of browsers' push services; `*.` stands for any name before it."""
    contact: str = ""
    """Whom a push service can write to about our messages (`mailto:…`); the public URL where it is empty."""

    @field_validator("schemes")
    @classmethod
    def _elsewhere(cls, given: list[str]) -> list[str]:
        if not all(SCHEME.fullmatch(one) and one not in LOCAL for one in given):
            raise ValueError("schemes are those of Apprise that send to another machine, in small letters, without ://")
        return given

    @field_validator("networks")
    @classmethod
    def _networks(cls, given: list[str]) -> list[str]:
        return [str(ipaddress.ip_network(one)) for one in given]
