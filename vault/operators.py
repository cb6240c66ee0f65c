"""What an operator types at a Vault or OpenBao of their own: `python -m vault.operators --instance DIR`, as a shell script.

The same requests that the embedded OpenBao is initialised with (`vault.declared`), under the names of the keeper's settings."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from vault.declared import TOKEN, Request, approle, engines, of, policy
from vault.settings import ROLE, BadSettings, Settings, load

KUBERNETES = {
    "KUBERNETES_HOST": "address of the API server, https://…", "KUBERNETES_CA": "a file with the certificate of its authority",
    "SERVICE_ACCOUNT": "service account of the keeper", "SERVICE_ACCOUNT_NAMESPACE": "the Kubernetes namespace it is in",
    "AUDIENCE": "the audience its token is for",
}
CERT = {
    "CLIENT_CA": "a file with the certificate of the authority that signed the one in client_cert, or that one itself",
    "COMMON_NAME": "the common name in client_cert",
}
ASKED = {"kubernetes": KUBERNETES, "cert": CERT}
TOKENS = ("VAULT_TOKEN", "BAO_TOKEN")
AUDIT_FILE = 'audit "file" "main" { options { file_path = "/var/log/openbao/audit.log" } }'


def script(settings: Settings, cli: str = "bao") -> str:
    """Commands for a POSIX shell; where a value is the operator's to give, a variable that the shell asks for."""
    requests = engines(settings.prefix, of(settings))
    lines = [
        "set -eu", *_surroundings(settings, cli),
        *(f': "${{{name}:?{words}}}"' for name, words in ASKED.get(settings.auth, {}).items()), "",
        "# What the keeper may do.",
        *(line for one in requests if one.name == "policy" for line in _typed(one, cli)), "", "# Where it keeps things.",
        *(line for one in requests if one.name != "policy" for line in _typed(one, cli)), "",
        f"# How it logs in: {settings.auth}.", *_login(settings, cli), "", *_audit(cli),
    ]
    return "\n".join(lines) + "\n"


def _surroundings(settings: Settings, cli: str) -> Iterator[str]:
    name = "BAO" if cli == "bao" else "VAULT"
    yield f"# With {cli}, as somebody who may mount engines and write policies ({name}_TOKEN, or `{cli} login`)."
    if settings.vault_address:
        address = settings.vault_address.split(",")[0].replace("unix:/", "unix:///")
        yield f"export {name}_ADDR={shlex.quote(address)}"
    if settings.ca_cert:
        yield f"export {name}_CACERT={shlex.quote(str(settings.ca_cert))}"
    if settings.namespace:
        yield f"export {name}_NAMESPACE={shlex.quote(settings.namespace)}"


def _typed(request: Request, cli: str) -> Iterator[str]:
    """One request, as people know it."""
    data, (top, _, rest) = dict(request.data), request.path.partition("/")
    if top == "sys" and rest.startswith("mounts/"):
        options = [f"-path={rest.removeprefix('mounts/')}"]
        for group in ("options", "config"):
            found = data.get(group)
            if isinstance(found, Mapping):
                options += [f"-{name.replace('_', '-')}={value}" for name, value in found.items()]
        yield shlex.join([cli, "secrets", "enable", *options, str(data["type"])])
    elif top == "sys" and rest.startswith("auth/"):
        yield shlex.join([cli, "auth", "enable", f"-path={rest.removeprefix('auth/')}", str(data["type"])])
    elif top == "sys":
        yield f"{cli} policy write {rest.removeprefix('policies/acl/')} - <<'HCL'"
        yield f"{str(data['policy']).rstrip()}\nHCL"
    else:
        yield shlex.join([cli, "write", request.path, *_fields(data)])


def _fields(data: Mapping[str, object]) -> list[str]:
    return [f"{name}={_field(value)}" for name, value in data.items()]


def _field(value: object) -> str:
    if isinstance(value, bool):
        return json.dumps(value)
    return ",".join(str(one) for one in value) if isinstance(value, list) else str(value)


def _login(settings: Settings, cli: str) -> Iterator[str]:
    mount, token = settings.mount, shlex.join(_fields(TOKEN))
    if settings.auth == "approle":
        for one in approle(mount, settings.role_id):
            yield from _typed(one, cli)
        target = settings.secret_id_file or settings.instance / "vault" / "secret-id"
        yield "# On each keeper's machine, as the keeper's user: one of its own for each. That keeper replaces it from then on."
        yield f"(umask 077; {cli} write -f -field=secret_id auth/{mount}/role/{ROLE}/secret-id > {shlex.quote(str(target))})"
    elif settings.auth == "token":
        target = settings.token_file or Path("keeper.token")
        yield "# An orphan: it outlives the token that made it. The keeper renews it at half its period."
        yield f"(umask 077; {cli} token create -orphan -no-default-policy -policy={ROLE} -period=72h \\"
        yield f"    -display-name=counterseal-keeper -field=token > {shlex.quote(str(target))})"
    else:
        yield f"{cli} auth enable -path={mount} {settings.auth}"
        yield from _kubernetes(settings, cli, token) if settings.auth == "kubernetes" else _cert(settings, cli, token)


def _kubernetes(settings: Settings, cli: str, token: str) -> Iterator[str]:
    mount = settings.mount
    yield f'{cli} write auth/{mount}/config kubernetes_host="$KUBERNETES_HOST" kubernetes_ca_cert=@"$KUBERNETES_CA"'
    yield f"{cli} write auth/{mount}/role/{settings.auth_role} {token} \\"
    yield '    bound_service_account_names="$SERVICE_ACCOUNT" \\'
    yield '    bound_service_account_namespaces="$SERVICE_ACCOUNT_NAMESPACE" audience="$AUDIENCE"'


def _cert(settings: Settings, cli: str, token: str) -> Iterator[str]:
    yield f'{cli} write auth/{settings.mount}/certs/{settings.auth_role} {token} certificate=@"$CLIENT_CA" \\'
    yield '    allowed_common_names="$COMMON_NAME"'


def _audit(cli: str) -> Iterator[str]:
    yield "# Once for the whole vault, if none is there: an audit device. Vault answers nothing that it could not record."
    if cli == "bao":
        yield f"# OpenBao: in the configuration of each server, {AUDIT_FILE}"
    else:
        yield "# vault audit enable file file_path=/var/log/vault/audit.log"


def settings_of(instance: Path) -> Settings:
    """The token in an operator's environment is the operator's, with which they type this: it says nothing of how the keeper logs
    in, unless `auth` says that it does by a token. Raises BadSettings."""
    evaluation = (instance / "evaluation").is_dir()
    try:
        return load(instance, evaluation=evaluation, environ={n: v for n, v in os.environ.items() if n not in TOKENS})
    except BadSettings:
        return load(instance, evaluation=evaluation)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="counterseal vault policy", description="Print what an operator types.")
    parser.add_argument("--instance", type=Path, required=True)
    parser.add_argument("--cli", choices=("bao", "vault"), default="bao")
    parser.add_argument("--hcl", action="store_true")
    given = parser.parse_args(arguments)
    try:
        settings = settings_of(given.instance)
    except BadSettings as error:
        sys.exit(f"counterseal vault policy: {error.hint}")
    sys.stdout.write(policy(settings.prefix, of(settings)) if given.hcl else script(settings, given.cli))


if __name__ == "__main__":
    main()
