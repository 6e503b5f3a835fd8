"""What a platform's refusal means, whatever words it uses: one class per thing that we do about it."""

from datetime import datetime, timedelta


class PlatformError(Exception):
    """A platform did not do what it was asked."""

    code = "error"
    """Stored with the post as its error class."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class TryAgainError(PlatformError):
    """Nothing was published; the same call may succeed later."""

    code = "retry"

    def __init__(self, detail: str, *, after: timedelta | None = None) -> None:
        super().__init__(detail)
        self.after = after


class RateLimitedError(PlatformError):
    """Nothing was published; the platform takes no more before *until*."""

    code = "rate_limited"

    def __init__(self, detail: str, *, until: datetime) -> None:
        super().__init__(detail)
        self.until = until


class TokenExpiredError(PlatformError):
    """Nothing was published; a fresh access token may help."""

    code = "token_expired"


class ReauthError(PlatformError):
    """Nothing was published; the account's owner has to connect it again."""

    code = "reauth"


class AccountBlockedError(PlatformError):
    """Nothing was published; the platform closed or suspended the account."""

    code = "account_blocked"


class PermanentContentError(PlatformError):
    """Nothing was published; the platform will never take this post as it is."""

    code = "permanent_content"


class UnknownOutcomeError(PlatformError):
    """The call may have published: probe before calling again."""

    code = "unknown_outcome"
