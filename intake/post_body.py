"""What tenants send to write posts, change them, and say what became of them."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Self
from uuid import UUID

import orjson
from pydantic import AfterValidator, Field, HttpUrl, StrictBool, model_validator

from intake.ingest.fields import EARLIEST, Body, Short
from intake.local_time import known_zone, to_moment
from intake.problem import FieldError, InvalidRequestError
from intake.submission import FURTHEST_RUN
from models.organization import Tenant
from models.social import PlatformName
from tasks.payloads import LONGEST_POST, MEDIA_PER_POST, Media, Text

MOST_ACCOUNTS = 50


def _near(moment: datetime) -> datetime:
    bare = moment.replace(tzinfo=None)
    now = datetime.now(UTC).replace(tzinfo=None)
    if not EARLIEST.replace(tzinfo=None) <= bare <= now + FURTHEST_RUN + timedelta(days=1):
        raise ValueError(f"must be within {FURTHEST_RUN.days} days from now")
    return moment


PostText = Annotated[Text, Field(max_length=LONGEST_POST)]
PostMedia = Annotated[tuple[Media, ...], Field(max_length=MEDIA_PER_POST)]
When = Annotated[
    Annotated[datetime, AfterValidator(_near)],
    Field(description="With an offset, or by the clocks of `time_zone`. Past moments are now."),
]
Zone = Annotated[
    Annotated[str, AfterValidator(known_zone)],
    Field(description="Whose clocks `scheduled_at` is read by; the organization's, unless named."),
]


class Scheduled(Body):
    """A moment at which something is to go out."""

    scheduled_at: When | None = None
    time_zone: Zone | None = None

    def moment(self, tenant: Tenant) -> datetime | None:
        """Return when it goes out; None where it was not said."""
        if self.scheduled_at is None:
            return None
        zone = self.time_zone or tenant.time_zone
        return to_moment(self.scheduled_at, time_zone=zone, field="scheduled_at")


class Said(Scheduled):
    """What a post says."""

    text: PostText
    media: PostMedia = ()
    campaign_id: UUID | None = None

    def fingerprint(self) -> str:
        """Hash it, to tell a repeated request from another one."""
        return hashlib.sha256(
            orjson.dumps(self.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)
        ).hexdigest()


class PostBody(Said):
    """A post. With `scheduled_at` it is published then; without, it is a draft until it is queued."""

    account_id: UUID


class VariantBody(Body):
    """What is said otherwise on one platform; what is left out is as everywhere."""

    text: PostText | None = None
    media: PostMedia | None = None


class SeveralBody(Said):
    """One post for several accounts, with what is said otherwise on a platform."""

    account_ids: Annotated[tuple[UUID, ...], Field(min_length=1, max_length=MOST_ACCOUNTS)]
    variants: Mapping[PlatformName, VariantBody] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.account_ids)) < len(self.account_ids):
            raise ValueError("account_ids must name each account once")
        return self

    def for_account(self, account_id: UUID, platform: PlatformName) -> PostBody:
        """Return the post of one account."""
        variant = self.variants.get(platform, VariantBody())
        return PostBody(
            account_id=account_id,
            text=self.text if variant.text is None else variant.text,
            media=self.media if variant.media is None else variant.media,
            campaign_id=self.campaign_id,
            scheduled_at=self.scheduled_at,
            time_zone=self.time_zone,
        )


class PostChange(Scheduled):
    """What changes of a post; what is left out stays. `scheduled_at: null` makes it a draft again."""

    text: PostText | None = None
    media: PostMedia | None = None
    campaign_id: UUID | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set - {"time_zone"}:
            raise ValueError("name something to change")
        return self


class Decision(Body):
    """What a person found out about a post whose fate nobody knew."""

    published: StrictBool
    url: Annotated[HttpUrl, Field(max_length=2_048)] | None = None
    remote_id: Short | None = None
    post_again: StrictBool = False

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.published and self.url is None:
            raise ValueError("say at which url it was published")
        if self.published and self.post_again:
            raise ValueError("a post that was published is not posted again")
        return self


def refuse_fields(*found: tuple[str, str]) -> InvalidRequestError:
    """Return the refusal that names fields and what to change."""
    return InvalidRequestError([FieldError(field=field, message=message) for field, message in found])
