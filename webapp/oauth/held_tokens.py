"""Everything that agents and token clients hold of ours, dropped at once."""

from __future__ import annotations

from sqlalchemy import delete
from sqlalchemy.orm import Session

from webapp.db.count import changed
from webapp.oauth.tables import AccessToken, AuthorizationCode, RefreshToken


def drop(session: Session) -> int:
    """No token or code that was given so far is known from here on; how many tokens. Grants stay: whoever comes to get new tokens
    comes with the person. A token that a restored copy still holds may have been revoked, or renewed, since the copy was made."""
    session.execute(delete(AuthorizationCode))
    return sum(changed(session.execute(delete(table))) for table in (AccessToken, RefreshToken))
