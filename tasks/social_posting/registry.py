"""Which platform an account is on, and where its server is."""

from collections.abc import Mapping
from functools import partial

from config.settings import get_settings
from models.social import PlatformName
from tasks.social_posting.bluesky import HOME, Bluesky
from tasks.social_posting.error import PermanentContentError
from tasks.social_posting.http import public_server
from tasks.social_posting.mastodon import Mastodon
from tasks.social_posting.platform import Account, Platform
from tasks.social_posting.sign_in import SignIn, at_server

_HOMES: Mapping[PlatformName, str] = {PlatformName.BLUESKY: HOME}


def server_of(account: Account) -> str:
    """Return the base address of the account's server; the stand-in's when one is configured."""
    return server_at(account.platform, account.server_url)


def server_at(platform: PlatformName, named: str | None) -> str:
    """Return the base address of a platform's server, or of one that a tenant named."""
    stand_in = get_settings().stand_in_url
    if stand_in is not None:
        return f"{stand_in.rstrip('/')}/{platform.value}"
    address = named or _HOMES.get(platform)
    if address is None:
        raise PermanentContentError(f"a {platform.value} account needs its server's address")
    return public_server(address)


def sign_in_of(platform: PlatformName, server: str | None = None) -> SignIn:
    """Return how an account of the platform is connected, with addresses that can be called.

    Args:
        platform: Which one.
        server: Where a federated platform's account lives.
    """
    sign_in = PLATFORMS[platform].sign_in
    stand_in = get_settings().stand_in_url
    is_federated = platform in (PlatformName.BLUESKY, PlatformName.MASTODON)
    if stand_in is None and not is_federated:
        return sign_in
    return at_server(sign_in, server_at(platform, server))


PLATFORMS: Mapping[PlatformName, Platform] = {
    PlatformName.BLUESKY: Bluesky(server_of, partial(server_at, PlatformName.BLUESKY)),
    PlatformName.MASTODON: Mastodon(server_of, partial(server_at, PlatformName.MASTODON)),
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
