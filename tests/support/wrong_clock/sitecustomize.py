"""Makes the clock of a process wrong: for processes that tests start with this on their path.

Python imports it as it starts. What the system itself timestamps, such as files, stays right.
"""

import datetime
import os
import time
from typing import Any

_FAST = float(os.environ["WRONG_CLOCK_SECONDS"])  # noqa: TID251 - no setting of ours
_time, _time_ns, _datetime = time.time, time.time_ns, datetime.datetime


class _Meta(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, _datetime)


class _WrongDatetime(_datetime, metaclass=_Meta):
    """Makes plain datetimes, which libraries in C take for what they are."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return _datetime(*args, **kwargs)

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Any:
        return _datetime.now(tz) + datetime.timedelta(seconds=_FAST)


time.time = lambda: _time() + _FAST
time.time_ns = lambda: _time_ns() + int(_FAST * 1e9)
datetime.datetime = _WrongDatetime  # type: ignore[misc]
