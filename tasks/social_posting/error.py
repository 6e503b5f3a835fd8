"""What a platform's refusal means, whatever words it uses: one class per thing that we do about it."""

from collections.abc import Iterator
from contextlib import contextmanager
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


class AlreadyPublishedError(PlatformError):
    """Nothing was published now: the platform has the same post, and a probe tells whether it is this one."""

    code = "already_published"


class StaleUploadsError(PlatformError):
    """Nothing was published, and the uploaded media are no longer good: upload them again."""

    code = "stale_uploads"


class StaleIntentError(PlatformError):
    """Nothing was published nor will be by this intent: upload and prepare again."""

    code = "stale_intent"


class NoProbeError(PlatformError):
    """The account may not read its own posts: whether one is out, a person decides."""

    code = "no_probe"


class PostGoneError(PlatformError):
    """The post is no longer on the platform."""

    code = "post_gone"


class NotOfferedError(PlatformError):
    """The platform does not offer this through its interface, or not to this account."""

    code = "not_offered"


@contextmanager
def nothing_visible() -> Iterator[None]:
    """Wrap calls that publish nothing: one of unknown outcome may simply be made again."""
    try:
        yield
    except UnknownOutcomeError as error:
        raise TryAgainError(error.detail) from error
