"""Quotas: what an org or a key may take; the error of each that is used up."""

from app.errors import StatewrightError


class QuotaExceededError(StatewrightError):
    """An org or a key takes more than it may.

    Args:
        quota: its name, for programs.
        detail: which it is, for people.
        retry_after: seconds after which there may be room; None: it does not come by itself.
    """

    status = 429
    code = "quota-exceeded"
    title = "Quota exceeded"

    def __init__(self, quota: str, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(detail, extra={"quota": quota}, retry_after=retry_after)


class OrgQuotaError(QuotaExceededError):
    """An org has as much of something as it may have: something must be deleted first."""

    status = 403
