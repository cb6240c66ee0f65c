"""Settings that name an address."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from webapp.config import Settings


@pytest.mark.parametrize("url", [
    "https://good.example\n.evil.example", "https://good.example\t", " https://good.example", "https://good.example%00.evil.example",
    "https://good.example\\.evil.example", "https://b\u00e4d.example", "https://me@good.example", "https://good.example/path",
])
def test_the_public_address_is_a_plain_origin(url: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="public_url"):
        Settings(instance=tmp_path, public_url=url)


def test_a_plain_origin_is_taken(tmp_path: Path) -> None:
    for url in ("https://seal.example:8443", "https://[2001:db8::1]:8443", "http://localhost:8000"):
        assert Settings(instance=tmp_path, public_url=f"{url}/").public_url == url
