"""How this installation shows a provider who it is: RFC 6749 section 2.3.1, and what GitHub and Slack do instead of RFC 7009."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, urlencode

from vault.secret import Secret

if TYPE_CHECKING:
    from vault.upstream import Endpoints

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def basic(client_id: str, secret: Secret[str], *, form_encoded: bool = True) -> str:
    """RFC 6749 section 2.3.1 form-encodes both parts first; GitHub's API is plain RFC 7617 and does not."""
    parts = (client_id, secret.reveal())
    pair = ":".join(quote_plus(part) for part in parts) if form_encoded else ":".join(parts)
    return "Basic " + base64.b64encode(pair.encode()).decode("ascii")


def authenticate(client_id: str, secret: Secret[str], method: str, body: str) -> tuple[str, dict[str, str]]:
    """Body and headers of a request that shows the client. A client without a secret is public: it only names itself."""
    if not secret:
        return f"{body}&{urlencode({'client_id': client_id})}", dict(FORM)
    if method == "post":
        return f"{body}&{urlencode({'client_id': client_id, 'client_secret': secret.reveal()})}", dict(FORM)
    return body, {**FORM, "Authorization": basic(client_id, secret)}


def revocation_request(
    at: Endpoints, token: Secret[str], hint: str, prepare: Callable[..., Any]
) -> tuple[str, str, str, dict[str, str]]:
    """Method, URL, body and headers that end one token, in the provider's own way."""
    if at.facts.revoke_style == "github":
        url = f"{at.revoke_url.rstrip('/')}/{quote(at.client_id, safe='')}/{'token' if hint == 'access_token' else 'grant'}"
        headers = {"Content-Type": "application/json", "Authorization": basic(at.client_id, at.client_secret, form_encoded=False)}
        return "DELETE", url, json.dumps({"access_token": token.reveal()}), headers
    if at.facts.revoke_style == "slack":
        return "POST", at.revoke_url, "", {**FORM, "Authorization": f"Bearer {token.reveal()}"}
    body, _headers = prepare(token.reveal(), token_type_hint=hint)
    body, headers = authenticate(at.client_id, at.client_secret, at.auth, body)
    return "POST", at.revoke_url, body, headers
