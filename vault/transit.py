"""Keys that never leave Vault: encrypt, sign (Ed25519), data keys, public keys."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from vault.client import Refused, Vault
from vault.errors import BadRequest
from vault.secret import Secret


@dataclass(frozen=True)
class Versions:
    """Of one key: when each version was made, and the public halves (32 raw bytes) of those that sign. `least`: the oldest that
    the vault still signs or encrypts with; `oldest`: the oldest that it still opens."""

    made: Mapping[int, datetime]
    public: Mapping[int, bytes]
    least: int
    oldest: int

    @property
    def newest(self) -> int:
        return max(self.made)


def made_at(value: str | float) -> datetime:
    """Symmetric keys have seconds since the epoch, all else RFC 3339 with nanoseconds."""
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    return datetime.fromisoformat(value[:19]).replace(tzinfo=UTC) if value.endswith("Z") else datetime.fromisoformat(value)


class Transit:
    def __init__(self, vault: Vault, mount: str = "counterseal-transit") -> None:
        self._vault = vault
        self._mount = mount

    def encrypt(self, key: str, plaintext: Secret[bytes]) -> str:
        body = {"plaintext": base64.b64encode(plaintext.reveal()).decode()}
        return str(self._vault.write(f"{self._mount}/encrypt/{key}", body)["data"]["ciphertext"])

    def decrypt(self, key: str, ciphertext: str) -> Secret[bytes]:
        """Raises BadRequest for what this key did not encrypt."""
        try:
            answer = self._vault.write(f"{self._mount}/decrypt/{key}", {"ciphertext": ciphertext})
        except Refused as error:
            if error.status == 400:
                raise BadRequest("not a ciphertext of ours") from error
            raise
        return Secret(base64.b64decode(answer["data"]["plaintext"]))

    def data_key(self, key: str) -> tuple[str, Secret[bytes]]:
        """A new AES-256 key: (its ciphertext, itself)."""
        found = self._vault.write(f"{self._mount}/datakey/plaintext/{key}", {"bits": 256})["data"]
        return str(found["ciphertext"]), Secret(base64.b64decode(found["plaintext"]))

    def rewrap(self, key: str, ciphertext: str) -> str:
        """The same plaintext under the newest version. Raises BadRequest for what this key did not encrypt."""
        try:
            answer = self._vault.write(f"{self._mount}/rewrap/{key}", {"ciphertext": ciphertext})
        except Refused as error:
            if error.status == 400:
                raise BadRequest("not a ciphertext of ours") from error
            raise
        return str(answer["data"]["ciphertext"])

    def sign(self, key: str, message: bytes, version: int = 0) -> str:
        """An Ed25519 signature in transit's form, `vault:v<version>:<base64>`; by the newest version where none is named."""
        body = {"input": base64.b64encode(message).decode(), "key_version": version}
        return str(self._vault.write(f"{self._mount}/sign/{key}", body)["data"]["signature"])

    def public_keys(self, key: str) -> Mapping[int, bytes]:
        """32 raw bytes by key version."""
        return self.versions(key).public

    def versions(self, key: str) -> Versions:
        """Of a key that is not there: none."""
        data = (self._vault.read(f"{self._mount}/keys/{key}") or {}).get("data") or {}
        found = {int(version): one for version, one in (data.get("keys") or {}).items()}
        signing = {version: one for version, one in found.items() if isinstance(one, Mapping)}
        return Versions(
            {version: made_at(one["creation_time"] if isinstance(one, Mapping) else one) for version, one in found.items()},
            {version: base64.b64decode(one["public_key"]) for version, one in signing.items() if one.get("public_key")},
            int(data.get("min_encryption_version") or 0), int(data.get("min_decryption_version") or 1),
        )

    def rotate(self, key: str) -> None:
        """A new version; those before stay."""
        self._vault.write(f"{self._mount}/keys/{key}/rotate", {})

    def retire(self, key: str, before: int) -> None:
        """From here on nothing opens that a version older than `before` encrypted. An operator can take it back."""
        self._vault.write(f"{self._mount}/keys/{key}/config", {"min_decryption_version": before})
