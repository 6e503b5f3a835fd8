"""Everything that decides whether a caller comes in, as one process has it open."""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from operator import attrgetter
from uuid import UUID

import redis.asyncio
import structlog
from fastapi import Request
from starlette.concurrency import run_in_threadpool

from config.settings import Settings
from intake.auth.issuer import IssuerKeys, open_issuer
from intake.auth.remember import MOST_REMEMBERED, Remembered
from intake.auth.token import MACHINE, Identity, key_id_of, verify
from intake.problem import UnauthenticatedError
from models.api_key import (
    ENVIRONMENTS,
    USED_PRECISION,
    KeyName,
    PresentedKey,
    StoredKey,
    load_api_key,
    touch_api_key,
)
from models.organization import Tenant, load_tenant
from models.revocation import Bearer, Standing, load_standing
from models.session import Database
from worker.publish import CHANGED

AGAIN_AFTER_S = 1.0

log = structlog.get_logger("intake.auth.access")


@dataclass(frozen=True, slots=True)
class Access:
    """Identifies callers, and remembers for a moment how they stand."""

    settings: Settings
    database: Database
    tenants: Remembered[UUID, Tenant]
    bearers: Remembered[Bearer, Standing]
    api_keys: Remembered[KeyName, StoredKey]
    issuer: IssuerKeys | None
    noted: dict[KeyName, float] = field(default_factory=dict)
    """When this process last noted that a key was used."""

    async def identify_token(self, token: str) -> Identity:
        """Return who a token names.

        Raises:
            UnauthenticatedError: It does not hold.
            IssuerAwayError: Nobody can tell whether it does.
        """
        key_id = key_id_of(token, self.settings)
        if key_id is None or self.issuer is None:
            return verify(token, self.settings)
        return verify(token, self.settings, key=await self.issuer.find(key_id))

    async def identify_key(self, text: str) -> Identity:
        """Return for whom an API key stands.

        Every refusal reads the same: whether organization or key exist is not told.

        Raises:
            UnauthenticatedError: It is not good, or not any more.
        """
        refusal = UnauthenticatedError("The API key is not valid.")
        key = PresentedKey.read(text)
        if key is None or key.environment != ENVIRONMENTS[self.settings.environment]:
            raise refusal
        stored = await self.api_keys.get(key.name)
        if stored is None or not stored.opens_with(key, now=datetime.now(UTC)):
            raise refusal
        await self._note_use(key.name, stored)
        user_id = f"{MACHINE}{key.name.key_id}"
        return Identity(
            key.name.organization_id,
            user_id,
            frozenset(stored.scopes),
            issued_at=stored.created_at,
            is_braked=stored.is_braked,
        )

    async def standing_of(self, identity: Identity) -> Standing:
        """Return how the bearer of a token stands."""
        bearer = Bearer(identity.organization_id, identity.user_id, identity.token_id)
        standing = await self.bearers.get(bearer)
        assert standing is not None
        return standing

    def forget(self, organization_id: UUID) -> None:
        """Ask the database anew for everything of an organization."""
        for remembered in (self.tenants, self.bearers, self.api_keys):
            remembered.forget(organization_id)

    async def _note_use(self, name: KeyName, stored: StoredKey) -> None:
        now = time.monotonic()
        # Never is long ago, also on a machine whose clock began a moment ago.
        again_from = self.noted.get(name, -math.inf) + USED_PRECISION.total_seconds()
        if not stored.was_used_long_ago or now < again_from:
            return
        if len(self.noted) > MOST_REMEMBERED:
            self.noted.clear()
        self.noted[name] = now
        await run_in_threadpool(touch_api_key, self.database, name)


def open_access(settings: Settings, database: Database) -> Access:
    """Open what identifies callers; nothing is asked before the first one comes."""
    return Access(
        settings,
        database,
        tenants=Remembered(partial(load_tenant, database), organization_of=lambda key: key),
        bearers=Remembered(partial(load_standing, database), organization_of=attrgetter("organization_id")),
        api_keys=Remembered(partial(load_api_key, database), organization_of=attrgetter("organization_id")),
        issuer=open_issuer(settings),
    )


def tell_changed(request: Request, organization_id: UUID) -> None:
    """Have this process and all others ask the database anew; call it after the commit."""
    request.app.state.access.forget(organization_id)
    request.app.state.publisher.announce(organization_id)


async def listen(client: "redis.asyncio.Redis", forget: Callable[[UUID], None]) -> None:
    """Forget what other processes say has changed, until cancelled.

    While Redis is away nothing is heard, and what is remembered ends by itself.
    """
    while True:
        try:
            async with client.pubsub(ignore_subscribe_messages=True) as subscription:
                await subscription.subscribe(CHANGED)
                async for message in subscription.listen():
                    _hear(message["data"], forget)
        except (redis.RedisError, OSError) as error:
            log.info("not told of changes for a moment", error=type(error).__name__)
        await asyncio.sleep(AGAIN_AFTER_S)


def _hear(said: bytes, forget: Callable[[UUID], None]) -> None:
    """Forget the organization that is named; whoever says something else is not listened to."""
    try:
        forget(UUID(said.decode()))
    except ValueError:
        log.warning("something else than an organization was said to have changed")
