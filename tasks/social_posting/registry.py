"""Which platforms there are, where an account's server is, and what the platforms know us by."""

from collections.abc import Mapping
from functools import partial

from config.settings import get_settings
from models.social import PlatformName
from tasks.social_posting.adapter import Client, Surroundings
from tasks.social_posting.bluesky import HOME, Bluesky
from tasks.social_posting.error import PermanentContentError, TryAgainError
from tasks.social_posting.facebook import Facebook
from tasks.social_posting.http import public_server
from tasks.social_posting.instagram import Instagram
from tasks.social_posting.linkedin import LinkedIn
from tasks.social_posting.mastodon import Mastodon
from tasks.social_posting.platform import Account, Platform
from tasks.social_posting.sign_in import SignIn, at_server, moved
from tasks.social_posting.threads import Threads
from tasks.social_posting.x import X

FEDERATED = frozenset({PlatformName.BLUESKY, PlatformName.MASTODON})
"""Their accounts live on servers that tenants name."""

_HOMES: Mapping[PlatformName, str] = {PlatformName.BLUESKY: HOME}


def server_of(account: Account) -> str:
    """Return the base address of a federated account's server; the stand-in's when one is configured."""
    return server_at(account.platform, account.server_url)


def server_at(platform: PlatformName, named: str | None) -> str:
    """Return the base address of a federated platform's server, or of one that a tenant named."""
    stand_in = _stand_in(platform)
    if stand_in is not None:
        return stand_in
    address = named or _HOMES.get(platform)
    if address is None:
        raise PermanentContentError(f"a {platform.value} account needs its server's address")
    if address.rstrip("/") in get_settings().trusted_servers:
        return address.rstrip("/")
    return public_server(address)


def reach(platform: PlatformName, url: str) -> str:
    """Return where to call for an address of the platform: there, or at the stand-in."""
    stand_in = _stand_in(platform)
    return url if stand_in is None else moved(url, stand_in)


def client_of(platform: PlatformName) -> Client:
    """Return what the platform knows this installation by.

    Raises:
        TryAgainError: The operator has configured nothing for it.
    """
    keys = get_settings().social_clients.get(platform.value)
    if keys is not None:
        return Client(keys.client_id, keys.client_secret.get_secret_value())
    if _stand_in(platform) is not None:
        return Client("stand-in", "stand-in")
    raise TryAgainError(f"the operator has registered no client with {platform.value}")


def sign_in_of(platform: PlatformName, server: str | None = None) -> SignIn:
    """Return how an account of the platform is connected, with addresses that can be called.

    Args:
        platform: Which one.
        server: Where a federated platform's account lives.
    """
    sign_in = PLATFORMS[platform].sign_in
    if platform in FEDERATED:
        return at_server(sign_in, server_at(platform, server))
    stand_in = _stand_in(platform)
    return sign_in if stand_in is None else at_server(sign_in, stand_in)


def _stand_in(platform: PlatformName) -> str | None:
    url = get_settings().stand_in_url
    return None if url is None else f"{url.rstrip('/')}/{platform.value}"


def _surroundings(platform: PlatformName) -> Surroundings:
    return Surroundings(
        server_of=server_of,
        server_at=partial(server_at, platform),
        reach=partial(reach, platform),
        client=partial(client_of, platform),
    )


PLATFORMS: Mapping[PlatformName, Platform] = {
    PlatformName.BLUESKY: Bluesky(_surroundings(PlatformName.BLUESKY)),
    PlatformName.MASTODON: Mastodon(_surroundings(PlatformName.MASTODON)),
    PlatformName.X: X(_surroundings(PlatformName.X)),
    PlatformName.LINKEDIN: LinkedIn(_surroundings(PlatformName.LINKEDIN)),
    PlatformName.FACEBOOK: Facebook(_surroundings(PlatformName.FACEBOOK)),
    PlatformName.INSTAGRAM: Instagram(_surroundings(PlatformName.INSTAGRAM)),
    PlatformName.THREADS: Threads(_surroundings(PlatformName.THREADS)),
}


def platform_of(account: Account) -> Platform:
    """Return the account's platform."""
    return PLATFORMS[account.platform]
