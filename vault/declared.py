"""What the keeper needs of a vault: engines, keys, policy and a role to log in with. The embedded OpenBao is initialised with it,
an operator of another types it (`vault.operators`), and `vault.doctor` holds a running one to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vault.settings import ROLE, Settings

CA_LIFETIME = "87600h"
AUTHORITY = "Counterseal client authority"
"""The name of the authority for client certificates; of later ones with a number."""
CLIENT_ROLE = {
    "key_type": "any", "use_csr_common_name": False, "use_csr_sans": False, "require_cn": False, "cn_validations": ["disabled"],
    "allow_any_name": False, "allow_localhost": False, "allow_ip_sans": False, "allowed_uri_sans": ["spiffe://*/client/*"],
    "server_flag": False, "client_flag": True, "key_usage": ["DigitalSignature"], "ttl": "24h", "max_ttl": "24h",
}
"""Of a request it takes the key alone; the name is the keeper's to give (`vault.pki`)."""
KEYS = {"payload": "aes256-gcm96", "authority": "ed25519", "audit": "ed25519"}
TOKEN = {"token_policies": [ROLE], "token_no_default_policy": True, "token_period": "1h"}
"""Of whichever role: this policy and no other, and a life that renewal prolongs for ever."""
POLICIES = Path(__file__).parent / "policies"
RULE = re.compile(r'^path "([^"]+)"\s*\{(.*?)\}', re.MULTILINE | re.DOTALL)
GRANTED = re.compile(r"capabilities\s*=\s*\[([^\]]*)\]")
PARAMETER = re.compile(r'"([a-z_]+)"\s*=\s*\[([^\]]*)\]')


@dataclass(frozen=True)
class Request:
    """One request of whoever sets the vault up. `env`: fields whose value is read from an environment variable."""

    name: str
    path: str
    data: Mapping[str, object]


def policy(prefix: str, approle: str = "") -> str:
    """The keeper's policy, HCL. `approle`: where the AppRole is mounted whose secret-id the keeper replaces itself (`of`)."""
    found = (POLICIES / "keeper.hcl").read_text().replace('"counterseal-', f'"{prefix}')
    return found + (POLICIES / "approle.hcl").read_text().replace('"auth/approle/', f'"auth/{approle}/') if approle else found


def of(settings: Settings) -> str:
    """The `approle` of the keeper's settings. The instance's own vault has none: its secret-id lies beside its key."""
    return settings.mount if settings.auth == "approle" and settings.vault_address else ""


def granted(prefix: str, approle: str = "") -> dict[str, frozenset[str]]:
    """What the policy grants, by path."""
    return {
        path: frozenset(re.findall(r'"([a-z]+)"', found[1]))
        for path, rule in RULE.findall(policy(prefix, approle)) if (found := GRANTED.search(rule))
    }


def parameters(prefix: str, approle: str = "") -> dict[str, dict[str, frozenset[str]]]:
    """The only parameters that may be given, by path, and their values (none: any); paths without such a bound are left out."""
    return {
        path: {name: frozenset(re.findall(r'"([^"]+)"', values)) for name, values in PARAMETER.findall(bound)}
        for path, rule in RULE.findall(policy(prefix, approle)) if (bound := rule.partition("allowed_parameters")[2])
    }


def engines(prefix: str, approle: str = "") -> list[Request]:
    """In order; the policy last."""
    kv, transit, pki = prefix + "kv", prefix + "transit", prefix + "pki"
    return [
        Request("kv", f"sys/mounts/{kv}", {"type": "kv", "options": {"version": "2"}}),
        Request("transit", f"sys/mounts/{transit}", {"type": "transit"}),
        *(Request(name, f"{transit}/keys/{name}", {"type": kind}) for name, kind in KEYS.items()),
        Request("pki", f"sys/mounts/{pki}", {"type": "pki", "config": {"max_lease_ttl": CA_LIFETIME}}),
        Request("pki-root", f"{pki}/root/generate/internal", {
            "common_name": AUTHORITY, "ttl": CA_LIFETIME, "key_type": "ec", "key_bits": 256,
            "max_path_length": 0,
        }),
        Request("pki-role", f"{pki}/roles/client", CLIENT_ROLE),
        Request("pki-tidy", f"{pki}/config/auto-tidy", {
            "enabled": True, "tidy_cert_store": True, "tidy_revoked_certs": True, "interval_duration": "24h",
        }),
        Request("policy", f"sys/policies/acl/{ROLE}", {"policy": policy(prefix, approle)}),
    ]


def approle(mount: str, role_id: str) -> list[Request]:
    role = f"auth/{mount}/role/{ROLE}"
    return [
        Request("approle", f"sys/auth/{mount}", {"type": "approle"}), Request("role", role, TOKEN),
        Request("role-id", f"{role}/role-id", {"role_id": role_id}),
    ]
