"""The room's routes, in one table."""

from __future__ import annotations

from flask import Blueprint

from webapp.people import (
    away_views,
    backchannel_views,
    factor_views,
    language_views,
    readmission_views,
    recovery_views,
    security_views,
    sign_in_views,
    you_views,
)

blueprint = Blueprint("people", __name__)
blueprint.app_context_processor(security_views.told)

for _rule, _method, _view in (
    ("/sign-in", "GET", sign_in_views.sign_in_page),
    ("/sign-in/start", "POST", sign_in_views.start),
    ("/sign-in/callback", "GET", sign_in_views.callback),
    ("/sign-in/second", "GET", sign_in_views.second_page),
    ("/sign-in/second", "POST", sign_in_views.second),
    ("/sign-in/backchannel-logout", "POST", backchannel_views.backchannel_logout),
    ("/sign-in/recovery", "GET", recovery_views.use_page),
    ("/sign-in/recovery", "POST", recovery_views.use_code),
    ("/sign-in/readmitted", "POST", readmission_views.use_readmission),
    ("/readmissions", "GET", readmission_views.readmissions),
    ("/readmissions", "POST", readmission_views.start_readmission),
    ("/readmissions/review", "POST", readmission_views.review_readmission),
    ("/readmissions/<which>", "GET", readmission_views.readmission_one),
    ("/readmissions/<which>/confirm", "POST", readmission_views.confirm_readmission),
    ("/readmissions/<which>/end", "POST", readmission_views.end_readmission),
    ("/sign-out", "POST", sign_in_views.sign_out),
    ("/you", "GET", you_views.page),
    ("/you/zone", "POST", you_views.set_zone),
    ("/you/language", "POST", language_views.set_language),
    ("/sign-in/language", "POST", language_views.set_language_here),
    ("/you/sessions/<session>/end", "POST", you_views.end_session),
    ("/you/sessions/end-others", "POST", you_views.end_others),
    ("/you/sessions/end-all", "POST", you_views.end_all),
    ("/you/recovery", "GET", recovery_views.codes_page),
    ("/you/recovery", "POST", recovery_views.make_codes),
    ("/you/security", "GET", security_views.security_log),
    ("/you/security/<entry>/not-me", "GET", security_views.not_me_page),
    ("/you/security/<entry>/not-me", "POST", security_views.not_me),
    ("/doubts/<doubt>/settle", "POST", security_views.settle_doubt),
    ("/you/away", "GET", away_views.away_page),
    ("/you/away", "POST", away_views.set_away),
    ("/you/away/delegate", "POST", away_views.review_delegation),
    ("/you/away/sign", "POST", away_views.sign_delegation),
    ("/you/away/<delegation>/end", "POST", away_views.end_delegation),
    ("/groups", "GET", away_views.groups),
    ("/groups/<path:group>", "GET", away_views.group_page),
    ("/groups/<path:group>", "POST", away_views.add_slot),
    ("/rota/<slot>/remove", "POST", away_views.remove_slot),
    ("/you/factors/first", "GET", factor_views.first),
    ("/you/factors/passkey", "GET", factor_views.passkey_page),
    ("/you/factors/passkey", "POST", factor_views.add_passkey),
    ("/you/factors/totp", "GET", factor_views.totp_page),
    ("/you/factors/totp", "POST", factor_views.add_totp),
    ("/you/factors/<factor>/remove", "POST", factor_views.remove),
):
    blueprint.add_url_rule(_rule, view_func=_view, methods=[_method])
