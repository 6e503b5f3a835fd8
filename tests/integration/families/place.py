"""One account of one tenant on one platform of the stand-in, and jobs that post to it."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from uuid_utils.compat import uuid7

from config.settings import ROOT
from models.content import AssetKind, ContentAsset
from models.organization import Tenant
from models.session import Database, tenant_session
from models.social import SocialAccount, SocialPost
from tasks.media_store import key_of
from tasks.payloads import Media, PublishPost
from tasks.social_posting.job import publish
from tests.integration.families.stand_in import StandIn
from worker.context import Completion


@dataclass
class Place:
    database: Database
    tenant: Tenant
    stand_in: StandIn
    run: Callable[..., Completion]
    platform: str
    grant: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.handle = f"shop-{uuid7().hex[-12:]}.test"
        """Of this test's own: the stand-in serves several."""
        self.account_id = self.stand_in.connect(
            self.database, self.tenant, self.platform, self.handle, **self.grant
        ).id
        self.media = (Media(asset_id=self.picture()),) if self.platform == "instagram" else ()

    def picture(self) -> UUID:
        """Put a picture into the library; its bytes are the store's matter."""
        asset_id, organization_id = uuid7(), self.tenant.organization_id
        row = ContentAsset(
            organization_id=organization_id,
            id=asset_id,
            kind=AssetKind.IMAGE,
            title="a picture",
            media_type="image/jpeg",
            byte_size=1_000,
            storage_key=key_of(organization_id, asset_id),
            alt_text="a cat",
        )
        with tenant_session(self.database, organization_id) as session:
            session.add(row)
        return asset_id

    def payload(self, text: str = "Spring sale") -> PublishPost:
        return PublishPost(account_id=self.account_id, text=text, media=self.media)

    def publish(self, job_id: UUID, text: str = "Spring sale", **details: Any) -> Completion:
        return self.run(self.tenant, publish, self.payload(text), job_id=job_id, **details)

    def crash(self, job_id: UUID, step: str, environment: dict[str, str]) -> None:
        """Publish in a process that kills itself at *step*."""
        command = [sys.executable, "-m", "tests.integration.families.crash"]
        ids = [str(self.tenant.organization_id), str(job_id), str(self.account_id)]
        child = subprocess.run(  # noqa: S603 - our own module
            [*command, *ids, "Spring sale", step, *(str(medium.asset_id) for medium in self.media)],
            cwd=ROOT,
            env=environment,
            check=False,
            timeout=60,
        )
        assert child.returncode == -9

    def post(self, job_id: UUID) -> SocialPost:
        with tenant_session(self.database, self.tenant.organization_id) as session:
            return session.execute(select(SocialPost).where(SocialPost.id == job_id)).scalar_one()

    @property
    def account(self) -> SocialAccount:
        with tenant_session(self.database, self.tenant.organization_id) as session:
            return session.execute(select(SocialAccount)).scalar_one()

    def end_rate_limit(self) -> None:
        """Let the time pass that the platform named."""
        with tenant_session(self.database, self.tenant.organization_id) as session:
            session.execute(update(SocialAccount).values(rate_limited_until=None))

    def plant(self, kind: str, **details: Any) -> None:
        self.stand_in.plant(self.platform, kind, handle=self.handle, **details)

    @property
    def texts(self) -> list[str]:
        return self.stand_in.texts(self.platform, self.handle)

    @property
    def calls(self) -> dict[str, int]:
        calls: dict[str, int] = self.stand_in.state(self.platform, self.handle)["calls"]
        return calls
