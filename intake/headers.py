"""What every answer carries besides its content: safe headers, and news of a route that goes."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from email.utils import format_datetime
from types import MappingProxyType
from typing import Any, Final

from fastapi import Depends, Request
from starlette.types import Scope

SAFE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        # Answers hold what belongs to one organization, or to nobody: no cache keeps them.
        "Cache-Control": "no-store",
        # A page that needs more says so itself.
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    }
)
HSTS: Final = "max-age=31536000; includeSubDomains"

NOTICE: Final = timedelta(days=180)
"""A route is announced as deprecated at least so long before it may go."""
POLICY: Final = "/docs/api-versions"
"""Where people read what a deprecation means."""


class ShortNoticeError(ValueError):
    """A route would go sooner than was promised; carries how soon."""

    def __init__(self, notice: timedelta) -> None:
        super().__init__(f"{notice.days} days between deprecation and sunset; promised are {NOTICE.days}")
        self.notice = notice


def headers_of(scope: Scope) -> dict[str, str]:
    """Return the headers of an answer to the request of *scope*, where the answer has not set them itself."""
    headers = dict(SAFE)
    # Over plain http a browser ignores it, and whoever sits in between could have put it there.
    if scope["scheme"] == "https":
        headers["Strict-Transport-Security"] = HSTS
    announced: Mapping[str, str] = scope["state"].get("deprecation", {})
    return headers | dict(announced)


def deprecated(*, since: date, sunset: date, successor: str | None = None) -> dict[str, Any]:
    """Declare that a route goes: ``@router.get("/old", **deprecated(since=..., sunset=...))``.

    Every answer of it, refusals too, then says since when not to use it, when it is gone and what to use.

    Source: RFC 9745 (Deprecation), RFC 8594 (Sunset).

    Raises:
        ShortNoticeError: There is less time between the two than was promised.
    """
    if sunset - since < NOTICE:
        raise ShortNoticeError(sunset - since)
    links = [f'<{POLICY}>; rel="deprecation"; type="text/html"']
    if successor is not None:
        links.append(f'<{successor}>; rel="successor-version"')
    headers = {
        "Deprecation": f"@{int(_midnight(since).timestamp())}",
        "Sunset": format_datetime(_midnight(sunset), usegmt=True),
        "Link": ", ".join(links),
    }

    def mark(request: Request) -> None:
        request.state.deprecation = headers

    return {"deprecated": True, "dependencies": [Depends(mark)]}


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)
