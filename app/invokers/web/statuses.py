"""What an HTTP status that is no success says of a call: whether it may pass, and when."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from app.invokers.invoker import InvokerError, TransientInvokerError

_TRANSIENT = frozenset({408, 425, 429})
_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?", re.ASCII)


def may_pass(status: int) -> bool:
    """Whether the same request may be answered later: request timeout, too early or many, 5xx."""
    return status in _TRANSIENT or status >= 500  # noqa: PLR2004 - 5xx


def status_error(text: str, status: int, headers: Mapping[str, str]) -> InvokerError:
    """The error that an answer with such a status is; the headers say when to ask again."""
    kind = TransientInvokerError if may_pass(status) else InvokerError
    return kind(text, status=status, retry_after=retry_after(headers))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that the other side asked us to wait, in any form in which it may say so.

    `Retry-After` is a number, a fraction or a date, which is by the other side's clock: it counts
    from the date of the answer. `retry-after-ms`, of some models' servers, is in milliseconds and
    goes before it.
    """
    milliseconds = headers.get("retry-after-ms", "").strip()
    if _NUMBER.fullmatch(milliseconds):
        return float(milliseconds) / 1000
    value = headers.get("retry-after", "").strip()
    if _NUMBER.fullmatch(value):
        return float(value)
    moment = _moment(value)
    if moment is None:
        return None
    now = _moment(headers.get("date", "")) or datetime.now(UTC)
    return max(0.0, (moment - now).total_seconds())


def _moment(value: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
