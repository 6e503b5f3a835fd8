"""Which platform an account is on, and where its server is."""

from collections.abc import Mapping

from config.settings import get_settings
from models.social import PlatformName
from tasks.social_posting.bluesky import HOME, Bluesky
from tasks.social_posting.error import PermanentContentError
from tasks.social_posting.http import public_server
from tasks.social_posting.mastodon import Mastodon
from tasks.social_posting.platform import Account, Platform

_HOMES: Mapping[PlatformName, str] = {PlatformName.BLUESKY: HOME}


def server_of(account: Account) -> str:
    """Return the base address of the account's server; the stand-in's when one is configured."""
    stand_in = get_settings().stand_in_url
    if stand_in is not None:
        return f"{stand_in.rstrip('/')}/{account.platform.value}"
    address = account.server_url or _HOMES.get(account.platform)
    if address is None:
        raise PermanentContentError(f"a {account.platform.value} account needs its server's address")
    return public_server(address)


PLATFORMS: Mapping[PlatformName, Platform] = {
    PlatformName.BLUESKY: Bluesky(server_of),
    PlatformName.MASTODON: Mastodon(server_of),
}


def platform_of(account: Account) -> Platform:
    """Return the account's platform.

    Raises:
        PermanentContentError: We do not post there yet.
    """
    platform = PLATFORMS.get(account.platform)
    if platform is None:
        raise PermanentContentError(f"posting to {account.platform.value} is not available")
    return platform
