"""What a tenant sees of its branding."""

from datetime import datetime
from uuid import UUID

from pydantic import computed_field

from intake.domain_proof import record_name
from intake.views.base import View


class BrandingView(View):
    """How what an organization's customers see looks; null is as usual."""

    name: str | None
    colour: str | None
    accent: str | None
    logo: str | None
    """A PNG or JPEG, in base64."""
    logo_text: str | None


class PublicLookView(View):
    """What a visitor sees before signing in: whose the page is, and nothing else of the organization."""

    name: str
    """As the organization wants it, or its own."""
    colour: str | None
    accent: str | None
    logo: str | None
    """A PNG or JPEG, in base64."""
    logo_text: str | None


class DomainView(View):
    id: UUID
    domain: str
    token: str
    """What the TXT record must say."""
    verified_at: datetime | None
    """When DNS showed the token; null: it does not."""
    checked_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @computed_field  # type: ignore[prop-decorator] # mypy: properties under decorators
    @property
    def record(self) -> str:
        """Name of the TXT record."""
        return record_name(self.domain)
