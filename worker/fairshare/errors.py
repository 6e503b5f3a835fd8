"""What can go wrong in the fair-share queue, with the data to answer it."""


class BacklogFullError(Exception):
    """The tenant has as many jobs waiting as it may."""

    def __init__(self, tenant: str, lane: str) -> None:
        super().__init__(f"tenant {tenant!r} has its maximum of jobs waiting in lane {lane!r}")
        self.tenant = tenant
        self.lane = lane
