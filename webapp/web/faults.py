"""What an error looks like: a page with the next step for a person, a part for htmx, JSON for a program."""

from __future__ import annotations

import logging

from flask import Flask, Response, jsonify, make_response, render_template, request
from werkzeug.exceptions import HTTPException

from vault.errors import KeeperError
from webapp.errors import HTTP, CountersealError, look_up, said
from webapp.web.guards import guard_of

log = logging.getLogger("counterseal")

TITLES = {
    400: said("That request was not understood"),
    401: said("Sign in first"),
    403: said("You may not do this"),
    404: said("There is nothing here"),
    405: said("That is not possible here"),
    409: said("Someone was first"),
    413: said("That is too large"),
    421: said("This is not the address of this server"),
    429: said("Too many requests"),
    500: said("Something went wrong here"),
    502: said("Another service does not answer"),
    503: said("Out of service for the moment"),
}

WORDS = {
    400: said("Something in it was missing, or not as it should be. Go back and try again."),
    404: said("No page has this address. Perhaps it was copied in part, or what it showed is gone."),
    405: said("This address is not for that. Go back to the page you came from."),
    413: said("Nothing here needs as much as was sent."),
}
"""In place of the framework's own."""


def answer(status: int, hint: str, code: str) -> Response:
    """An error as the caller can read it."""
    view = None
    if request.endpoint:
        from flask import current_app

        view = current_app.view_functions.get(request.endpoint)
    if guard_of(view) == "machine" or request.accept_mimetypes.best == "application/json":
        response = jsonify(error=code, error_description=hint)
    else:
        title = TITLES.get(status, TITLES[500])
        # The page that says that the database does not answer must not ask it for the badge: then there would be no page.
        page = render_template("fault.html", title=title, hint=hint, status=status, code=code, waiting_count=lambda: 0)
        response = make_response(page)
    response.status_code = status
    if status == 503:
        response.headers["Retry-After"] = "5"
    return response


def register(app: Flask) -> None:
    @app.errorhandler(CountersealError)
    @app.errorhandler(KeeperError)
    def known(error: CountersealError | KeeperError) -> Response:
        log.info("%s: %s (%s)", error.code, error.hint, error.detail)
        return answer(look_up(HTTP, error, 400), error.hint, error.code)

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        status = error.code or 500
        ours = error.description in (None, type(error).description)
        words = WORDS.get(status, TITLES.get(status, "")) if ours else error.description
        return answer(status, words or "", (error.name or "error").lower().replace(" ", "_"))

    @app.errorhandler(Exception)
    def unknown(error: Exception) -> Response:
        """Nothing of the error is shown: a traceback can hold what nobody should read."""
        log.exception("unexpected error on %s", request.endpoint, exc_info=error)
        return answer(500, said("The error was written to the server's log. Nothing you did was lost."), "server_error")
