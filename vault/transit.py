"""Keys that never leave Vault: encrypt, sign (Ed25519), data keys, public keys."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from vault.client import Refused, Vault
from vault.errors import BadRequest
from vault.secret import Secret


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

    def sign(self, key: str, message: bytes) -> str:
        """An Ed25519 signature in transit's form, `vault:v<version>:<base64>`."""
        body = {"input": base64.b64encode(message).decode()}
        return str(self._vault.write(f"{self._mount}/sign/{key}", body)["data"]["signature"])

    def public_keys(self, key: str) -> Mapping[int, bytes]:
        """32 raw bytes by key version."""
        found = self._vault.read(f"{self._mount}/keys/{key}")
        keys = ((found or {}).get("data") or {}).get("keys") or {}
        return {int(version): base64.b64decode(one["public_key"]) for version, one in keys.items()}
