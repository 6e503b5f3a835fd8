"""What our pages have in common."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

import redis
import structlog
from flower.views import BaseHandler
from tornado.web import HTTPError, RequestHandler

from models.organization import Tenant
from models.session import DATABASE_ERRORS
from ops.flower.access import Person
from ops.flower.desk import Desk
from worker.publish import BrokerAwayError

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")

log = structlog.get_logger(__name__)


class Page(BaseHandler):  # type: ignore[misc] # Flower has no types
    """A page beside Flower's. What asks a server runs in a thread, so that nobody else waits for it."""

    person: Person
    """Set by the guard."""

    @property
    def desk(self) -> Desk:
        """What the page works with."""
        found: Desk = self.settings["desk"]
        return found

    def check_xsrf_cookie(self) -> None:
        """Ask for the token of our own form too; Flower's check trusts the browser's headers alone."""
        super().check_xsrf_cookie()
        RequestHandler.check_xsrf_cookie(self)

    async def work(
        self, function: Callable[Asked, Answer], /, *arguments: Asked.args, **named: Asked.kwargs
    ) -> Answer:
        """Run what asks a server; one that is away is a 503 that says which."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(None, partial(function, *arguments, **named))
        except DATABASE_ERRORS as error:
            log.warning("Postgres did not answer a page", error=str(error).partition("\n")[0])
            raise HTTPError(503, "Postgres does not answer; run `genius doctor` to see why.") from error
        except (redis.RedisError, BrokerAwayError) as error:
            log.warning("Redis did not answer a page", error=type(error).__name__)
            raise HTTPError(503, "Redis does not answer; run `genius doctor` to see why.") from error

    async def tenant(self, spelled: str) -> Tenant:
        """Return the organization that the address names."""
        found = await self.work(self.desk.directory.find, self.identity(spelled))
        if found is None:
            raise HTTPError(404, f"There is no organization {spelled}.")
        return found

    def identity(self, spelled: str) -> UUID:
        """Return the id that the address or a form names."""
        try:
            return UUID(spelled)
        except ValueError:
            raise HTTPError(400, f"{spelled!r} is not an id; ids look like 0190a5f2-....") from None

    def show(self, template: str, *, tab: str, **values: Any) -> None:
        """Answer with a page."""
        self.set_header("Cache-Control", "no-store")
        self.render(template, tab=tab, person=self.person, **values)
