"""What an address may be written with, wherever TLS or a token goes to its host. Pure."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+", re.ASCII)


def plain(url: str) -> bool:
    """Whether it is visible ASCII alone, and its host letters, digits, dots and hyphens, or a number.

    Attack: `https://good.example\\n.evil.example`. `urlsplit` drops tabs and line ends without a word, so what was checked is not
    what another program connects to, or what stands in a header; `%00` and `\\` in a host are read differently by each.
    """
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return all("!" <= char <= "~" for char in url) and HOST.fullmatch(host) is not None
