"""Why a delivery did not succeed."""


class DeliveryError(Exception):
    """The receiver does not have it, or did not say so; another attempt may succeed."""

    def __init__(self, detail: str, *, status: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status


class RefusedError(DeliveryError):
    """No attempt will ever succeed."""
