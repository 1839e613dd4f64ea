"""Structured logs: one JSON object per line on stderr, with ids from the context and no secrets.

A line that cannot be written is lost: logging never raises.
"""

import json
import logging
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger
from typing_extensions import override

MAX_TEXT = 32_000  # characters of one text that are kept

_MASK = "***"
_CUT = "… [cut]"
# Read beyond what is kept: a secret that the cut goes through is whole when it is looked for.
_MARGIN = 4_000
_SECRET_NAME = re.compile(
    r"(secret|password|passwd|authorization|cookie|credential|api_?key$|^key$|(^|_)token$)",
    re.IGNORECASE,
)
_SECRET_TEXT = re.compile(
    r"swk_\w+"  # our own keys
    r"|(?<=://)[^\s/@:]*+:[^\s/@]*+(?=@)"  # user and password of a URL
    # Credentials of an Authorization header.
    r"|(?i:(?<=bearer )|(?<=token )|(?<=basic ))[\w.~+/=-]{16,}"
    r"|\bsk-[\w-]{16,}"  # keys of model providers
)
# These bring handlers of their own; here they go the way of all others.
_LOUD_LOGGERS = ("uvicorn", "uvicorn.error", "uvicorn.access", "arq", "arq.worker", "arq.jobs")
# `app.api.http.request_log` writes one line per request, with its id.
_REPLACED_LOGGERS = ("uvicorn.access",)
# At INFO these write the address of every call, whose query may hold a secret.
# And at DEBUG the SDKs write heads of answers, which may repeat what was sent.
_CHATTY_LOGGERS = (
    *("httpx", "httpx2", "httpcore", "httpcore2"),
    *("openai", "anthropic", "pydantic_ai"),
)


def mask(value: Any) -> Any:
    """The value without secrets: masked by the name of a member, and by the look of a text.

    Takes time in proportion to the value, whatever it holds; long texts are cut.
    """
    if isinstance(value, str):
        return _mask(value)
    if isinstance(value, Mapping):
        return {
            key: _MASK if _SECRET_NAME.search(str(key)) else mask(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [mask(item) for item in value]
    return value


def _mask(text: str) -> str:
    if len(text) <= MAX_TEXT:
        return _SECRET_TEXT.sub(_MASK, text)
    seen = _SECRET_TEXT.sub(_MASK, text[: MAX_TEXT + _MARGIN])
    # The margin goes from the end of what is masked: there alone half a secret may be left.
    return seen[:-_MARGIN][:MAX_TEXT] + _CUT


def configure_logging(level: str = "INFO") -> None:
    """Sends the logs of structlog and of the standard library through one pipeline.

    May be called again: the handler is replaced, others (a test runner's) are left alone.
    Ids are added with `structlog.contextvars.bound_contextvars(session_id=…, step_id=…)`.

    Args:
        level: name of the least level that is written, such as "INFO".

    Raises:
        ValueError: there is no such level.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"Log level {level!r} is none of DEBUG, INFO, WARNING, ERROR, CRITICAL.")
    structlog.configure(
        processors=[*_shared(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    for old in [handler for handler in root.handlers if isinstance(handler, _Handler)]:
        root.removeHandler(old)
    root.addHandler(_Handler())
    root.setLevel(number)
    for name in _LOUD_LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = name not in _REPLACED_LOGGERS
        logger.disabled = name in _REPLACED_LOGGERS
    for name in _CHATTY_LOGGERS:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))


class _Handler(logging.Handler):
    """Ours, so that a second call of `configure_logging` can tell it from others."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=_shared(),
                processors=[
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    _mask_event,
                    structlog.processors.JSONRenderer(serializer=_dumps),
                ],
            )
        )

    @override
    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - a line that cannot be written must not stop the work
            # Nor may it come out unmasked, as `handleError` would have it.
            line = '{"event": "a log line could not be written", "level": "error"}'
        # A full disk, a reader that went away, a stream that is closed or was never there.
        with suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(f"{line}\n")


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]


def _mask_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {key: _MASK if _SECRET_NAME.search(key) else mask(value) for key, value in event.items()}


def _dumps(value: Any, **_options: Any) -> str:
    try:
        return orjson.dumps(value, default=_to_text, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # half a surrogate pair, an integer over 64 bits
        return json.dumps(value, default=_to_text)


def _to_text(value: object) -> str:
    """What is no JSON, as a text; an error's may hold a secret as any other text may."""
    return _mask(repr(value))
