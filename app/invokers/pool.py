"""`Invokers`: what a worker resolves invokers with; it bounds, reuses and closes them."""

import asyncio
import hashlib
import importlib
import inspect
import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import partial
from typing import Any, Self, TypeVar, cast

from pydantic import SecretStr
from structlog import get_logger
from typing_extensions import override

import app.invokers
from app.errors import error_line
from app.invokers.chat import ChatInvoker, ChatRequest
from app.invokers.chat_models.config import complete_config
from app.invokers.guard import as_failure, guarded
from app.invokers.invoker import Answer, InvocationContext, Invoker, InvokerError, result_text
from app.invokers.llm import check_llm_settings
from app.invokers.sync import SyncInvoker, SyncInvokerLike
from app.invokers.tool import ServerTool, ToolInvoker
from app.invokers.web.http_client import check_certificates
from app.kit.concurrency.shares import Shares, tenant
from app.kit.invalid import InvalidValueError
from app.kit.registry import Registry, discover
from app.settings import LlmSettings

MAX_IDLE = 256
_CLOSE_SECONDS = 5.0

T = TypeVar("T")
log = get_logger(__name__)


class PooledInvoker(Invoker):
    """An invoker that is made when it is needed and runs at most `pool_size` calls at once.

    Whatever its class raises, in whichever method, is an error of the invoker contract.

    Args:
        name: what templates call it.
        make: makes the invoker.
        after_call: awaited after each call.

    Raises:
        InvalidValueError: the config of the invoker is wrong; raised here, not at the first call.
    """

    def __init__(
        self, name: str, make: Callable[[], Invoker], after_call: Callable[[], Awaitable[None]]
    ) -> None:
        self._name = name
        self._make = make
        self._after_call = after_call
        self._invoker: Invoker | None = None
        made = self._open_now()
        self.pool_size = made.pool_size
        places = self.pool_size
        self._places = Shares(places, each=places) if places else None  # in turns by org
        self._calls = 0
        self._retired = False

    @classmethod
    @override
    def from_config(cls, config: dict[str, Any]) -> Self:
        raise NotImplementedError("made by Invokers.resolve")

    @property
    def is_idle(self) -> bool:
        """Whether no call runs or waits."""
        return self._calls == 0

    @override
    async def prepare(self) -> None:
        async with self._in_use():
            await self._guarded(lambda invoker: invoker.prepare())

    @override
    async def invoke(self, content: str, context: InvocationContext) -> Answer:
        async with self._in_use(), self._place():
            answer = await self._guarded(lambda invoker: invoker.invoke(content, context))
            return answer if isinstance(answer, Answer) else Answer(result_text(answer))

    async def ask(self, request: ChatRequest, context: InvocationContext) -> Answer:
        """Sends one request of a conversation.

        Raises:
            InvokerError: as `invoke` does; also where it is no chat model.
        """
        invoker = self._open_now()
        if not isinstance(invoker, ChatInvoker):
            raise InvokerError(f"{self._name!r} is no chat model.")
        async with self._in_use(), self._place():
            return await guarded(invoker.ask(request, context), self._name)

    async def call(
        self, tool: ServerTool, arguments: dict[str, Any], context: InvocationContext
    ) -> str | dict[str, Any] | list[Any] | None:
        """Makes one call of a tool; see `ToolInvoker.call`."""
        invoker = self._open_now()
        if not isinstance(invoker, ToolInvoker):
            raise InvokerError(f"{self._name!r} runs no tools.")
        async with self._in_use(), self._place():
            return await guarded(invoker.call(tool, arguments, context), self._name)

    @override
    async def close(self) -> None:
        """Closes the invoker, now or after its last call; a later call opens it once more."""
        self._retired = True
        if self.is_idle:
            await self._shut()

    def _place(self) -> AbstractAsyncContextManager[None]:
        return self._places.place(tenant()) if self._places else nullcontext()

    @asynccontextmanager
    async def _in_use(self) -> AsyncIterator[None]:
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1
            if self._retired and self.is_idle:
                await self._shut()
            await self._after_call()

    def _open_now(self) -> Invoker:
        if self._invoker is None:
            try:
                self._invoker = self._make()
            except Exception:
                raise
            except BaseException as error:  # it would end the worker
                raise as_failure(error, self._name) from error
        return self._invoker

    async def _guarded(self, call: Callable[[Invoker], Awaitable[T]]) -> T:
        invoker = self._open_now()

        async def called() -> T:
            return await call(invoker)

        return await guarded(called(), self._name)

    async def _shut(self) -> None:
        invoker, self._invoker = self._invoker, None
        if invoker is None:
            return
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await guarded(_close_now(invoker), self._name)
        except (InvokerError, TimeoutError) as error:  # no call has a part in it
            log.warning("an invoker does not close", name=self._name, error=type(error).__name__)


async def _close_now(invoker: Invoker) -> None:
    await invoker.close()


class Invokers:
    """The invokers of a worker: one per name and config, made once and shared by its steps.

    Args:
        llm: the operator's default model provider.
        egress_allow: CIDRs that invokers may reach beside global addresses.
        max_idle: how many unused invokers are kept; the longest unused are closed first.

    Raises:
        LlmSettingsError: the default provider is set wrongly; the text says what is wrong.
        CertificatesError: nobody could be reached over TLS.
    """

    def __init__(
        self, llm: LlmSettings, egress_allow: Sequence[str] = (), *, max_idle: int = MAX_IDLE
    ) -> None:
        check_llm_settings(llm, egress_allow)
        check_certificates()
        self._llm = llm
        self._egress_allow = tuple(egress_allow)
        self._max_idle = max_idle
        self._built_in = built_in_invokers()
        self._pooled: OrderedDict[str, PooledInvoker] = OrderedDict()

    def resolve(
        self, name: str, config: dict[str, Any] | None = None, *, trusted: bool = False
    ) -> PooledInvoker:
        """The invoker of that name with that config; the same one for the same arguments.

        Args:
            name: a built-in invoker, or the dotted path of a class.
            config: the invoker's own.
            trusted: whether the template is the operator's code; only then may it name a class.

        Raises:
            InvalidValueError: the config is wrong, or the path leads to no invoker.
            UnknownNameError: there is no such built-in invoker.
        """
        from_config = self._maker(name, trusted=trusted)
        completed = self._completed(name, config or {}, trusted=trusted)
        key = _key(name, completed)
        pooled = self._pooled.get(key)
        if pooled is None:
            pooled = PooledInvoker(name, lambda: from_config(completed), self._trim)
            self._pooled[key] = pooled
        self._pooled.move_to_end(key)
        return pooled

    async def close(self) -> None:
        """Closes all of them; calls that run end first."""
        while self._pooled:
            await self._pooled.popitem()[1].close()

    def _maker(self, name: str, *, trusted: bool) -> Callable[[dict[str, Any]], Invoker]:
        if trusted and "." in name:
            return _maker_of_class(name)
        return self._built_in[name].from_config

    def _completed(self, name: str, config: dict[str, Any], *, trusted: bool) -> dict[str, Any]:
        """The config with what the operator's settings add to it."""
        if name == "llm":
            return complete_config(config, self._llm, self._egress_allow, trusted=trusted)
        if name in ("http", "mcp"):
            if "egress_allow" in config:
                raise InvalidValueError("invalid invoker config: egress_allow: not yours to set")
            return {**config, "egress_allow": self._egress_allow}
        if name == "echo":
            return {"delay_seconds": self._llm.echo_delay_seconds, **config}
        return config

    async def _trim(self) -> None:
        surplus = len(self._pooled) - self._max_idle
        if surplus > 0:
            idle = [key for key, pooled in self._pooled.items() if pooled.is_idle]
            for pooled in [self._pooled.pop(key) for key in idle[:surplus]]:
                await pooled.close()


def built_in_invokers() -> Registry[type[Invoker]]:
    """The invokers of this package by name.

    Raises:
        DuplicateNameError: two of them have one name.
    """
    contract: type[Invoker] = Invoker  # type: ignore[type-abstract] # only subclasses are made
    return discover(app.invokers, contract, what="invoker", name=lambda found: found.name)


def check_class(path: str) -> str | None:
    """Why there is no invoker at a dotted path, or None if there is one."""
    try:
        _maker_of_class(path)
    except InvalidValueError as error:
        cause = error.__cause__
        return f"{error}: {error_line(cause)}" if cause else str(error)
    return None


def _maker_of_class(path: str) -> Callable[[dict[str, Any]], Invoker]:
    """How to make the class at a dotted path, be it an `Invoker` or a synchronous one."""
    module_name, _, class_name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise InvalidValueError(f"no invoker at {path!r}") from error
    if inspect.isclass(found) and issubclass(found, Invoker):
        return found.from_config
    if inspect.isclass(found) and hasattr(found, "from_config") and hasattr(found, "invoke"):
        return partial(SyncInvoker, cast(type[SyncInvokerLike], found))
    raise InvalidValueError(
        f"{path!r} is no invoker: it needs from_config(config) and invoke(content)"
    )


def _key(name: str, config: dict[str, Any]) -> str:
    """The same text for the same arguments. A digest: the config may hold an API key."""
    plain = json.dumps([name, config], sort_keys=True, default=_plain)
    return hashlib.sha256(plain.encode()).hexdigest()


def _plain(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else repr(value)
