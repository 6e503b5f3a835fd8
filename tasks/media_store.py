"""Where the bytes of media lie: files in a folder, each organization's below a prefix of its own."""

import hashlib
import os
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from anyio import to_thread

from config.settings import get_settings

_KEY = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/([0-9a-f]{2})/([0-9a-f-]{36})")
"""organization / two letters that spread files over folders / the medium."""


class MediaTooLargeError(Exception):
    """More bytes came than one medium may have."""

    def __init__(self, most: int) -> None:
        super().__init__(f"a medium may have {most} bytes at most")
        self.most = most


class ForeignKeyError(ValueError):
    """The key is not one of the organization's."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What was written."""

    key: str
    size: int
    sha256: bytes


def key_of(organization_id: UUID, medium_id: UUID) -> str:
    """Return where a medium lies. Made of ids alone: no name that a tenant chose becomes part of a path."""
    return f"{organization_id}/{medium_id.hex[-2:]}/{medium_id}"


@dataclass(frozen=True, slots=True)
class MediaStore:
    """Files below *folder*."""

    folder: Path

    async def write(self, key: str, chunks: AsyncIterator[bytes], *, most: int) -> Stored:
        """Store what streams in, under another name until it is whole.

        Raises:
            MediaTooLargeError: It is not kept.
        """
        path = self.path(UUID(key.partition("/")[0]), key)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft, digest, size = path.with_suffix(".part"), hashlib.sha256(), 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        try:
            with os.fdopen(os.open(draft, flags, 0o600), "wb") as file:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > most:
                        raise MediaTooLargeError(most)
                    digest.update(chunk)
                    file.write(chunk)
                await to_thread.run_sync(_settle, file)
            draft.rename(path)
        finally:
            draft.unlink(missing_ok=True)
        return Stored(key, size, digest.digest())

    def read(self, organization_id: UUID, key: str) -> bytes:
        """Return the bytes of one of the organization's media.

        Raises:
            ForeignKeyError: It is not one of them.
            FileNotFoundError: It was removed.
        """
        with os.fdopen(self._open(organization_id, key), "rb") as file:
            return file.read()

    def remove(self, organization_id: UUID, key: str) -> None:
        """Delete a medium; one that is gone is no error."""
        with suppress(FileNotFoundError):
            self.path(organization_id, key).unlink()

    def path(self, organization_id: UUID, key: str) -> Path:
        """Return where one of the organization's media lies.

        Raises:
            ForeignKeyError: The key is another organization's, or leads anywhere else.
        """
        parts = _KEY.fullmatch(key)
        if parts is None or parts[1] != str(organization_id):
            raise ForeignKeyError
        path = self.folder.resolve() / key
        # A link planted in the folder must not lead out of the organization's own part of it.
        if path.parent.resolve() != path.parent or path.is_symlink():
            raise ForeignKeyError
        return path

    def _open(self, organization_id: UUID, key: str) -> int:
        return os.open(self.path(organization_id, key), os.O_RDONLY | os.O_NOFOLLOW)


def _settle(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


@cache
def get_media_store() -> MediaStore:
    """Return this process's store."""
    return MediaStore(get_settings().media_directory)
