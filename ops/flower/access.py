"""Who may see Flower and our pages beside it, and who may change things there."""

import hmac
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from flower.api import BaseApiHandler
from flower.utils.authentication import authenticate
from flower.views import BaseHandler
from flower.views.tasks import TasksDataTable
from tornado.httputil import HTTPServerRequest
from tornado.web import HTTPError

from config.celery import LANES
from config.settings import FlowerRole
from ops.flower.record import Outcome, action_of, record

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1", ""})
READING = frozenset({"GET", "HEAD", "OPTIONS"})
FAILURES = 400
"""Statuses from here on."""
SAFE_HEADERS = {
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    # Flower has an inline script on one page and inline styles; nothing comes from elsewhere.
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; frame-ancestors 'none'; form-action 'self'; base-uri 'none'"
    ),
}


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody whose credentials held."""

    name: str
    role: FlowerRole

    @property
    def may_change(self) -> bool:
        return self.role == "operator"

    @property
    def actor(self) -> str:
        """What the audit log names."""
        return f"operator:{self.name}"


@dataclass(frozen=True, slots=True)
class Doorman:
    """Knows who may come in.

    Args:
        passwords: Each person's password; empty where no passwords are used.
        roles: What each person may do. Who is not named may look.
        emails: Flower's pattern of e-mail addresses that OAuth lets in; None without OAuth.
        open_to: Who everybody is when neither is used, on a loopback address only.
    """

    passwords: Mapping[str, str]
    roles: Mapping[str, FlowerRole]
    emails: str | None = None
    open_to: Person | None = None
    read_only: bool = False

    def admit(self, handler: BaseHandler) -> Person | None:
        """Return who asks; None for somebody who has yet to sign in by OAuth.

        Raises:
            HTTPError: 401, the credentials are missing or wrong.
        """
        if self.open_to is not None:
            return self.open_to if _host(handler.request) in LOOPBACK_NAMES else _refuse()
        name = None
        if self.passwords:
            name = self._by_password(handler.request.headers.get("Authorization", "")) or _refuse()
        if self.emails:
            name = self._by_cookie(handler)
        return None if name is None else self._person(name)

    def _by_password(self, header: str) -> str | None:
        """Compare with every password, so that the time taken tells nothing."""
        scheme, _, encoded = header.partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            name, _, password = b64decode(encoded, validate=True).decode().partition(":")
        except ValueError:
            return None
        held = [
            known
            for known, expected in self.passwords.items()
            if _same(known, name) & _same(expected, password)
        ]
        return held[0] if held else None

    def _by_cookie(self, handler: BaseHandler) -> str | None:
        email = (handler.get_signed_cookie("user") or b"").decode()
        return email if email and authenticate(self.emails, email) else None

    def _person(self, name: str) -> Person:
        return Person(name, "reader" if self.read_only else self.roles.get(name, "reader"))


def _same(known: str, given: str) -> bool:
    return hmac.compare_digest(known.encode(), given.encode())


def _host(request: HTTPServerRequest) -> str:
    return urlsplit(f"//{request.host}").hostname or ""


def _refuse() -> Any:
    raise HTTPError(401)


class Guard(BaseHandler):  # type: ignore[misc] # Flower has no types
    """Stands in front of every handler: nothing is answered to strangers, nothing changed for readers.

    Whatever would change something is written down, done or refused.
    """

    action: str
    """What is done here, as it is written down."""
    person: Person | None = None
    """Who asks, as soon as that is known."""
    let = False
    """Whether it was let through."""

    @property
    def changes(self) -> bool:
        """Tell whether the request would change something, could it do what it asks."""
        return self.request.method not in READING and not isinstance(self, TasksDataTable)

    def set_default_headers(self) -> None:
        """Let no page be framed or load anything from elsewhere."""
        super().set_default_headers()
        for name, value in SAFE_HEADERS.items():
            self.set_header(name, value)

    def get_active_queue_names(self) -> list[str]:
        """Name every lane: jobs wait in one that no worker serves, too."""
        return list(LANES)

    def get_broker(self) -> Any:
        """Return what knows the lanes: the watch has read them a moment ago."""
        return self.settings["desk"].watch

    def check_xsrf_cookie(self) -> None:
        """Refuse strangers, and what another site had the browser send; this comes before `prepare`."""
        self.person = self.settings["doorman"].admit(self)
        if self.person is None:
            raise HTTPError(401)
        site, origin = (self.request.headers.get(name) for name in ("Sec-Fetch-Site", "Origin"))
        if site not in {None, "same-origin", "none"}:
            raise HTTPError(403, "Cross-site request forbidden")
        if site is None and origin is not None and urlsplit(origin).netloc != self.request.host:
            raise HTTPError(403, "Cross-origin request forbidden")
        super().check_xsrf_cookie()

    def prepare(self) -> Any:
        """Ask who it is, and whether that person may."""
        person = self.settings["doorman"].admit(self)
        if person is None:
            return self._sign_in()
        self.person = person
        self.current_user = person.name
        if self.changes and not person.may_change:
            raise HTTPError(403, "You may look and change nothing; ask an operator.")
        self.let = True
        self._record("begun")
        return super().prepare()

    def on_finish(self) -> None:
        """Write down how it ended."""
        super().on_finish()
        if not self.let:
            self._record("refused")
            return
        self._record("done" if self.get_status() < FAILURES else "failed")

    def _record(self, outcome: Outcome) -> None:
        if self.changes:
            record(self, self.action, outcome, actor=None if self.person is None else self.person.actor)

    def _sign_in(self) -> None:
        if isinstance(self, BaseApiHandler) or self.request.method != "GET":
            raise HTTPError(401)
        self.redirect(f"{self.get_login_url()}?{urlencode({'next': self.request.uri})}")


def guarded(handler: type[Any], pattern: str) -> type[Any]:
    """Return *handler* with the guard in front of it; *pattern* is its route's."""
    return type(handler.__name__, (Guard, handler), {"action": action_of(pattern)})


def named(credentials: Sequence[str]) -> dict[str, str]:
    """Return passwords by name of Flower's own ``name:password`` credentials."""
    return {name: password for name, _, password in (each.partition(":") for each in credentials)}
