"""Secrets at rest: AES-GCM with a key per organization, bound to the one place where the ciphertext lies."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from config.settings import Settings, get_settings

FORMAT = b"\x01"
KEY_ID_BYTES = 4
NONCE_BYTES = 12
KEY_BYTES = 32
_HEADER_BYTES = len(FORMAT) + KEY_ID_BYTES


@dataclass(frozen=True, slots=True)
class Place:
    """Where a ciphertext lies; it decrypts nowhere else."""

    organization_id: UUID
    table: str
    column: str
    row_id: UUID

    def as_bytes(self) -> bytes:
        """Return the associated data; names hold no slash, so two places never read the same."""
        return f"{self.organization_id}/{self.table}/{self.column}/{self.row_id}".encode()


class UndecryptableError(Exception):
    """The ciphertext was altered, moved from another place, or its master key is gone."""

    def __init__(self, place: Place) -> None:
        super().__init__(f"cannot decrypt {place.table}.{place.column} of {place.row_id}")
        self.place = place


class Vault:
    """Encrypts under the first master key and decrypts under any, so that keys can be changed."""

    def __init__(self, masters: Sequence[bytes]) -> None:
        """Take master keys of any length of 32 bytes or more, the current one first."""
        self._masters = {
            hashlib.sha256(b"key id" + master).digest()[:KEY_ID_BYTES]: master for master in masters
        }
        self._current = next(iter(self._masters))

    def encrypt(self, secret: str, place: Place) -> bytes:
        """Return format, key id, nonce and sealed text."""
        nonce = os.urandom(NONCE_BYTES)
        cipher = self._cipher(self._current, place.organization_id)
        return FORMAT + self._current + nonce + cipher.encrypt(nonce, secret.encode(), place.as_bytes())

    def decrypt(self, sealed: bytes, place: Place) -> str:
        """Return the secret that was encrypted for *place*.

        Raises:
            UndecryptableError: It was not, or the key is unknown.
        """
        key_id = sealed[len(FORMAT) : _HEADER_BYTES]
        nonce = sealed[_HEADER_BYTES : _HEADER_BYTES + NONCE_BYTES]
        if not sealed.startswith(FORMAT) or key_id not in self._masters or len(nonce) != NONCE_BYTES:
            raise UndecryptableError(place)
        cipher = self._cipher(key_id, place.organization_id)
        try:
            return cipher.decrypt(nonce, sealed[_HEADER_BYTES + NONCE_BYTES :], place.as_bytes()).decode()
        except InvalidTag:
            raise UndecryptableError(place) from None

    def is_current(self, sealed: bytes) -> bool:
        """Tell whether the ciphertext is under the current master key."""
        return sealed.startswith(FORMAT + self._current)

    def _cipher(self, key_id: bytes, organization_id: UUID) -> AESGCM:
        derived = HKDF(
            algorithm=SHA256(), length=KEY_BYTES, salt=organization_id.bytes, info=b"genius credentials v1"
        )
        return AESGCM(derived.derive(self._masters[key_id]))


@cache
def get_vault() -> Vault:
    """Return this process's vault."""
    return make_vault(get_settings())


def make_vault(settings: Settings) -> Vault:
    """Return a vault under the current master key that reads what is under the retired ones."""
    masters = (settings.credential_secret, *settings.retired_credential_secrets)
    return Vault([master.get_secret_value().encode() for master in masters])
