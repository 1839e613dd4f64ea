"""The built-in model: deterministic and offline; its answers say that they are an echo."""

import asyncio
import re
from typing import Any, ClassVar, Self

from pydantic import Field
from typing_extensions import override

from app.invokers.chat import ChatInvoker, ChatRequest, last_user_text
from app.invokers.config import InvokerConfig, read_config
from app.invokers.invoker import Answer, InvocationContext

_WORD = re.compile(r"\S+\s*")


class EchoConfig(InvokerConfig):
    """Config of `echo`."""

    delay_seconds: float = Field(0.0, ge=0, le=60, description="Pause before each further word")


class EchoInvoker(ChatInvoker):
    """Repeats the last user message, word by word, as `[echo model] You said: …`."""

    name: ClassVar[str | None] = "echo"

    def __init__(self, delay_seconds: float = 0.0) -> None:
        self._delay_seconds = delay_seconds

    @classmethod
    @override
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(read_config(EchoConfig, config).delay_seconds)

    @override
    async def ask(self, request: ChatRequest, context: InvocationContext) -> Answer:
        answer = f"[echo model] You said: {last_user_text(request.messages)}"
        for number, word in enumerate(_WORD.findall(answer)):
            if number and self._delay_seconds:
                await asyncio.sleep(self._delay_seconds)
            await context.emit(word)
        return Answer(answer)
