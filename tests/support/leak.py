"""Sees what belongs to another tenant in an answer, however it is written there."""

import base64
import binascii
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import unquote_to_bytes
from uuid import UUID

import httpx

_UUID = re.compile(rb"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)
_TOKEN = re.compile(rb"[A-Za-z0-9_+/-]{12,}")


@dataclass(frozen=True)
class Watch:
    """Knows a tenant by the marker within all its texts, and by every id it has."""

    marker: str
    ids: frozenset[UUID] = field(repr=False)

    def found(self, answer: httpx.Response, *, sent: bytes = b"") -> list[str]:
        """Return what of the tenant is in *answer* and was not in the request.

        Args:
            answer: Its headers and body are searched, also inside base64 and percent signs.
            sent: All that the request said; to hear an id back that one has sent tells nothing.
        """
        told = self.traces(_whole(answer))
        return sorted(told - self.traces(sent))

    def traces(self, raw: bytes) -> set[str]:
        """Return all of the tenant's that stands in *raw*."""
        traces = set(self._in(raw)) | set(self._in(unquote_to_bytes(raw)))
        for text in _decoded(raw):
            traces.update(self._in(text), self._packed(text))
        return traces

    def _in(self, text: bytes) -> Iterator[str]:
        yield from (one.decode("ascii", "replace").lower() for one in self._pattern.findall(text))
        yield from (str(one) for one in map(_uuid, _UUID.findall(text)) if one in self.ids)

    def _packed(self, raw: bytes) -> Iterator[str]:
        """Yield ids that stand as their sixteen bytes."""
        windows = (raw[at : at + 16] for at in range(len(raw) - 15))
        yield from (str(self._bytes[window]) for window in windows if window in self._bytes)

    @cached_property
    def _bytes(self) -> dict[bytes, UUID]:
        return {one.bytes: one for one in self.ids}

    @cached_property
    def _pattern(self) -> re.Pattern[bytes]:
        return re.compile(re.escape(self.marker.encode()) + rb"[\w.]*", re.IGNORECASE)


def _whole(answer: httpx.Response) -> bytes:
    head = b"\n".join(name + b": " + value for name, value in answer.headers.raw)
    return head + b"\n\n" + answer.content


def _decoded(raw: bytes) -> Iterator[bytes]:
    """Yield what every token would be, were it base64."""
    for token in set(_TOKEN.findall(raw)):
        if _UUID.fullmatch(token) is None:
            padded = token.replace(b"+", b"-").replace(b"/", b"_") + b"=" * (-len(token) % 4)
            with suppress(binascii.Error):
                yield base64.urlsafe_b64decode(padded)


def _uuid(text: bytes) -> UUID:
    return UUID(text.decode())
