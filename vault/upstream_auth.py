"""How this installation shows a provider who it is: RFC 6749 section 2.3.1, and what GitHub, Slack and others do
instead of RFC 7009."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, urlencode

from vault.secret import Secret

if TYPE_CHECKING:
    from vault.upstream import Endpoints

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}


def basic(client_id: str, secret: Secret[str], *, form_encoded: bool = True) -> str:
    """RFC 6749 section 2.3.1 form-encodes both parts first; GitHub's API is plain RFC 7617 and does not."""
    parts = (client_id, secret.reveal())
    pair = ":".join(quote_plus(part) for part in parts) if form_encoded else ":".join(parts)
    return "Basic " + base64.b64encode(pair.encode()).decode("ascii")


def authenticate(
    client_id: str, secret: Secret[str], method: str, fields: Mapping[str, str], encoding: str = "form"
) -> tuple[str, dict[str, str]]:
    """Body and headers of a request that shows the client. A client without a secret is public: it only names itself."""
    if not secret:
        return encoded({**fields, "client_id": client_id}, encoding)
    if method == "post":
        return encoded({**fields, "client_id": client_id, "client_secret": secret.reveal()}, encoding)
    body, headers = encoded(fields, encoding)
    return body, {**headers, "Authorization": basic(client_id, secret, form_encoded=encoding == "form")}


def encoded(fields: Mapping[str, str], encoding: str) -> tuple[str, dict[str, str]]:
    """RFC 6749 knows forms alone; Notion and Atlassian take JSON."""
    return (json.dumps(dict(fields)), dict(JSON)) if encoding == "json" else (urlencode(fields), dict(FORM))


def showing(at: Endpoints, token: Secret[str]) -> dict[str, str]:
    """The header that shows a token to the provider's own API."""
    name, _, value = at.facts.quirks.shows_token.partition(": ")
    return {**at.facts.quirks.headers, name: value.replace("{token}", token.reveal())}


def revocation_request(at: Endpoints, token: Secret[str], hint: str, account: str) -> tuple[str, str, str, dict[str, str]]:
    """Method, URL, body and headers that end one token, in the provider's own way."""
    style, quirks = at.facts.revoke_style, at.facts.quirks
    if style == "github":
        url = f"{at.revoke_url.rstrip('/')}/{quote(at.client_id, safe='')}/{'token' if hint == 'access_token' else 'grant'}"
        headers = {**JSON, "Authorization": basic(at.client_id, at.client_secret, form_encoded=False)}
        return "DELETE", url, json.dumps({"access_token": token.reveal()}), headers
    if style in ("slack", "bearer"):
        body = urlencode({quirks.revoke_field: token.reveal()}) if quirks.revoke_field else ""
        return quirks.revoke_method, at.revoke_url, body, {**FORM, **showing(at, token)}
    if style == "stripe":
        # Not the token but the account is named, and the platform's own key shows who asks.
        body, headers = encoded({"client_id": at.client_id, "stripe_user_id": account}, "form")
        return "POST", at.revoke_url, body, {**headers, "Authorization": f"Bearer {at.client_secret.reveal()}"}
    fields = {quirks.revoke_field or "token": token.reveal(), "token_type_hint": hint}
    auth = quirks.revoke_auth or at.auth
    body, headers = authenticate(at.client_id, at.client_secret, auth, fields, quirks.revoke_body)
    return "POST", at.revoke_url, body, {**headers, **quirks.headers}
