"""What a backup says of itself; written last, so that one without it is not whole."""

import hashlib
import hmac
from datetime import datetime
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from config.settings import Settings
from ops.error import OperatorError

FILE = "manifest.json"
DUMP = "database"
"""The folder of pg_dump within the backup's."""


class NoBackupError(OperatorError):
    """The folder holds no whole backup; carries it."""

    def __init__(self, directory: Path) -> None:
        super().__init__(f"{directory} holds no whole backup: its {FILE} is missing or cannot be read.")
        self.directory = directory


class OtherCredentialSecretError(OperatorError):
    """The backup was made under another GENIUS_CREDENTIAL_SECRET."""

    def __init__(self) -> None:
        super().__init__(
            "The backup was made under another GENIUS_CREDENTIAL_SECRET: the tokens of accounts in it could "
            "not be read. Set that one, or name it in GENIUS_RETIRED_CREDENTIAL_SECRETS; if it is lost, "
            "restore with --without-credentials and let people connect their accounts again."
        )


class Manifest(BaseModel):
    """When it was made, of what, and how much there is."""

    model_config = ConfigDict(frozen=True)

    made_at: datetime
    postgres: int
    """Major version of the server."""
    revision: str
    credential_fingerprint: str
    """Tells whether a secret is the one by which tokens were encrypted, and not what it is."""
    rows: dict[str, int]
    """Table to rows, in the very snapshot that was dumped."""

    def write(self, directory: Path) -> None:
        """Complete the backup in *directory*."""
        (directory / FILE).write_text(self.model_dump_json(indent=2) + "\n")

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read the backup in *directory*.

        Raises:
            NoBackupError: There is no whole one.
        """
        try:
            return cls.model_validate_json((directory / FILE).read_bytes())
        except (OSError, ValidationError):
            raise NoBackupError(directory) from None

    def check_credentials(self, settings: Settings) -> None:
        """Raise OtherCredentialSecretError unless *settings* can read what is encrypted."""
        known = (settings.credential_secret, *settings.retired_credential_secrets)
        if self.credential_fingerprint not in {fingerprint(each.get_secret_value()) for each in known}:
            raise OtherCredentialSecretError


def fingerprint(secret: str) -> str:
    """Return what tells a secret from others."""
    return hmac.digest(secret.encode(), b"genius backup", hashlib.sha256).hex()[:16]
