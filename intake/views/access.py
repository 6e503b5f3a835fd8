"""What is shown of API keys and of revoked tokens; of a key's secret the end, once it was made."""

from datetime import datetime
from uuid import UUID

from intake.views.base import View
from models.revocation import RevocationTarget


class ApiKeyView(View):
    id: UUID
    name: str
    scopes: list[str]
    """Permissions of whoever has the key."""
    hint: str
    """The last characters of its secret."""
    created_by: str
    created_at: datetime
    rotated_at: datetime | None
    previous_until: datetime | None
    """Until then the secret before is good too."""
    expires_at: datetime | None
    last_used_at: datetime | None
    """To a minute."""
    revoked_at: datetime | None


class NewApiKeyView(ApiKeyView):
    key: str
    """Send it as `Authorization: Bearer`. It is shown this once and never again."""


class RevocationView(View):
    id: UUID
    target: RevocationTarget
    subject: str
    """Id of the token or of the user; empty for everybody."""
    issued_before: datetime | None
    """Tokens that were issued until then hold no more; None for a single token."""
    reason: str | None
    revoked_by: str
    created_at: datetime
