"""The consent page, and the agents that a person allowed."""

from __future__ import annotations

from authlib.oauth2 import OAuth2Error
from flask import Blueprint, redirect, render_template, request, url_for
from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import MultiDict

from webapp.clients import lookup
from webapp.clients.rules import read_redirect_uri
from webapp.errors import BadInput
from webapp.oauth import consent, endpoints, grants, metadata, offers, rfc9207
from webapp.oauth.ciba import PollGrant
from webapp.oauth.endpoints import server
from webapp.oauth.handed import Broker
from webapp.oauth.rfc6749 import CodeGrant, RefreshGrant
from webapp.oauth.rfc6749_4_4 import OwnGrant
from webapp.oauth.rfc7009 import Revocation
from webapp.oauth.rfc7591 import RegistrationEndpoint
from webapp.oauth.rfc7636 import S256Only
from webapp.oauth.rfc7662 import Introspection
from webapp.oauth.rfc8693 import ExchangeGrant
from webapp.oauth.server import Parameters, Server
from webapp.policy import active
from webapp.web import guards, headers
from webapp.web.house import House, house
from webapp.web.viewer import viewer

blueprint = Blueprint("oauth", __name__)
blueprint.register_blueprint(endpoints.blueprint)
CARRIED = frozenset({
    "response_type", "response_mode", "client_id", "redirect_uri", "scope", "state", "resource",
    "code_challenge", "code_challenge_method",
})
"""What the page's form carries of the agent's request. Attack: a parameter named `decision` or `csrf_token` in its address
would become a field of our form, ahead of the person's own."""


def make_server(the_house: House, broker: Broker | None = None) -> Server:
    """Without a broker it gives no tokens of connected accounts."""
    made = Server(the_house, offers.find, lambda: active.current(the_house).decide)
    made.register_grant(CodeGrant, [S256Only(required=True)])
    made.register_grant(RefreshGrant)
    if broker is not None:
        made.broker = broker
        made.register_grant(ExchangeGrant)
        made.register_grant(OwnGrant)
        made.register_grant(PollGrant)
    made.register_endpoint(RegistrationEndpoint(the_house))
    made.register_endpoint(Revocation)
    made.register_endpoint(Introspection)
    return made


@blueprint.record_once
def _open(state: BlueprintSetupState) -> None:
    state.app.extensions["oauth"] = make_server(
        state.app.extensions["counterseal"], state.app.extensions.get("broker"),
    )


@blueprint.get(metadata.AUTHORIZE)
@guards.person
def ask() -> ResponseReturnValue:
    """Always asks: an agent that was allowed before is not let in without the person's word (RFC 8252 section 8.6)."""
    try:
        grant = _check(request.args)
    except OAuth2Error as error:
        return _refuse(error, request.args)
    return _page(grant)


@blueprint.post(metadata.AUTHORIZE)
@guards.person
def decide() -> ResponseReturnValue:
    """The person's word, from our own page (CSRF is checked before). The request is checked again: the page only carried it."""
    asked = _carried(request.form)
    allowed = request.form.getlist("decision") == ["allow"]
    try:
        grant = _check(asked)
        if not allowed:
            _write_down_refusal(grant)
        response = server().create_authorization_response(grant.request, viewer().person if allowed else None, grant)
    except OAuth2Error as error:
        return _refuse(error, asked)
    return _back(response.headers["Location"])


@blueprint.get("/you/agents")
@guards.person
def agents() -> str:
    with house().database.read() as session:
        allowed = grants.of_person(session, viewer().person)
        titles = offers.titles(session, house().settings, [grant.resource for grant in allowed])
    return render_template("oauth/agents.html", allowed=allowed, titles=titles)


@blueprint.post("/you/agents/<grant>/revoke")
@guards.person
def take_back(grant: str) -> ResponseReturnValue:
    person, now = viewer().person, house().clock()
    house().database.write(lambda s: grants.revoke_own(s, grant, person, now))
    return redirect(url_for("oauth.agents"), 303)


def _carried(parameters: Parameters) -> Parameters:
    return MultiDict((name, value) for name, value in parameters.items(multi=True) if name in CARRIED)


def _check(parameters: Parameters) -> CodeGrant:
    asked = server().request(request.method, metadata.AUTHORIZE, parameters, {})
    grant: CodeGrant = server().get_consent_grant(asked, viewer().person)
    return grant


def _page(grant: CodeGrant) -> str:
    client = grant.request.client.row
    with house().database.read() as session:
        mtls = lookup.by_mtls(session, client.id)
    found = consent.page(
        client, grant.offer, grant.redirect_uri, viewer(), server().decide(), house().clock(), mtls=mtls,
    )
    if found.goes_to.form_action:
        headers.allow_form_action(found.goes_to.origin)
    return render_template("oauth/consent.html", page=found, parameters=list(_carried(grant.request.args).items(multi=True)))


def _write_down_refusal(grant: CodeGrant) -> None:
    person, now, client = viewer().person, house().clock(), grant.request.client.row
    house().database.write(lambda s: grants.deny(s, person=person, client=client, resource=grant.resource, now=now))


def _refuse(error: OAuth2Error, asked: Parameters) -> ResponseReturnValue:
    """An error before the redirect URI was checked is for the person alone; after it, it goes back to the agent.

    RFC 9700 section 4.11.2: anyone can register a client, so an error that sent the browser on by itself would make us an open
    redirector. It goes by itself to this computer and to agents that an admin vouched for; to others, by a link.
    """
    if not error.redirect_uri:
        raise BadInput(error.get_error_description(), code=error.error)
    error.state = asked.get("state")
    answer = rfc9207.error_answer(error, metadata.issuer(house().settings))
    client = server().query_client(asked.get("client_id", ""))
    goes_to = read_redirect_uri(error.redirect_uri)
    if request.method == "POST" or goes_to.loopback or (client is not None and client.row.verified):
        return _back(answer)
    return render_template("oauth/refused.html", answer=answer, goes_to=goes_to, hint=error.get_error_description()), 400


def _back(answer: str) -> ResponseReturnValue:
    """Send the browser on: by a redirect, or by a page where CSP or the browser would stop a form's redirect."""
    goes_to = read_redirect_uri(answer.partition("?")[0])
    if goes_to.form_action or request.method != "POST":
        return redirect(answer, 303)
    return render_template("oauth/onward.html", answer=answer, goes_to=goes_to)
