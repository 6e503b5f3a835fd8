"""Whom this intake serves: organizations of its own region; the others are told where to go."""

from config.settings import Settings
from intake.problem import ProblemError
from models.organization import Tenant


class WrongRegionError(ProblemError):
    """The caller's organization is at home in another region."""

    def __init__(self, region: str, url: str | None) -> None:
        where = "" if url is None else f" Call {url} instead."
        super().__init__(
            421,
            "wrong-region",
            f"Your organization's data are in the region {region}, which this address does not serve.{where}",
            extra={"region": region} | ({} if url is None else {"url": url}),
        )


def refuse_elsewhere(tenant: Tenant, settings: Settings) -> None:
    """Refuse an organization of another region before anything of it is read."""
    if tenant.region != settings.region:
        raise WrongRegionError(tenant.region, settings.region_urls.get(tenant.region))
