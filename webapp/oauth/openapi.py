"""The OpenAPI 3.1 description of what programs may call and no RFC describes."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from webapp.config import Settings


def document(settings: Settings) -> dict[str, Any]:
    return {**_read(), "servers": [{"url": settings.public_url}]}


@lru_cache(maxsize=1)
def _read() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("openapi.yaml").read_text("utf-8"))
    return found
