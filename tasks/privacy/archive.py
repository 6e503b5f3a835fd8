"""The archive of an export: JSON lines by table, media, and a manifest with the hash of each file."""

import hashlib
import os
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import orjson

from config.settings import get_settings
from tasks.media_store import MediaStore, key_of

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of an archive."""

    name: str
    rows: int | None
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Written:
    """A whole archive."""

    size: int
    sha256: bytes
    entries: list[Entry]


class Archive:
    """Writes an archive under another name, until it is whole: a job that dies leaves no half of one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._draft = path.with_suffix(".part")
        self._entries: list[Entry] = []

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        self._file = os.fdopen(os.open(self._draft, flags, 0o600), "wb")
        self._zip = zipfile.ZipFile(self._file, "w", zipfile.ZIP_DEFLATED)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._draft.unlink(missing_ok=True)

    def add_rows(self, name: str, rows: Iterable[str]) -> None:
        """Write one JSON object a line; an empty file is left out of the archive, not of the manifest."""
        count = 0

        def lines() -> Iterable[bytes]:
            nonlocal count
            for row in rows:
                count += 1
                yield row.encode() + b"\n"

        size, digest = self._write(name, lines())
        self._entries.append(Entry(name, count, size, digest))

    def add_file(self, name: str, content: bytes) -> None:
        """Write a medium."""
        size, digest = self._write(name, [content])
        self._entries.append(Entry(name, None, size, digest))

    def finish(self, about: Mapping[str, Any]) -> Written:
        """Write the manifest and put the archive where it belongs."""
        files = [asdict(entry) for entry in self._entries]
        self._zip.writestr(MANIFEST, orjson.dumps({**about, "files": files}, option=orjson.OPT_INDENT_2))
        self._zip.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        with self._draft.open("rb") as whole:
            digest = hashlib.file_digest(whole, "sha256").digest()
        size = self._draft.stat().st_size
        self._draft.rename(self._path)
        return Written(size, digest, self._entries)

    def _write(self, name: str, chunks: Iterable[bytes]) -> tuple[int, str]:
        digest, size = hashlib.sha256(), 0
        with self._zip.open(name, "w", force_zip64=True) as file:
            for chunk in chunks:
                digest.update(chunk)
                size += file.write(chunk)
        return size, digest.hexdigest()


@cache
def get_archives() -> MediaStore:
    """Return where this process finds archives."""
    settings = get_settings()
    return MediaStore(settings.export_directory or settings.media_directory / "exports")


def archive_path(archives: MediaStore, organization_id: UUID, request_id: UUID) -> Path:
    """Return where the archive of an export lies."""
    return archives.path(organization_id, key_of(organization_id, request_id))


def remove_archive(archives: MediaStore, organization_id: UUID, request_id: UUID) -> bool:
    """Delete an archive, and the half of one; tell whether there was any."""
    path = archive_path(archives, organization_id, request_id)
    found = path.exists()
    for file in (path, path.with_suffix(".part")):
        file.unlink(missing_ok=True)
    return found
