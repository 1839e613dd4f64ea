"""A built-in model that calls tools: deterministic and offline; the user's message says how."""

import re
from itertools import islice
from typing import Any, ClassVar, Self

from typing_extensions import override

from app.invokers.chat import (
    MAX_CALLS,
    CallReader,
    ChatInvoker,
    ChatMessage,
    ChatRequest,
    last_user_text,
)
from app.invokers.config import InvokerConfig, read_config
from app.invokers.invoker import Answer, InvocationContext

# A line `call NAME {"an": "argument"}`; the arguments may be left out.
_CALL = re.compile(r"call\s+(\S+)\s*(.*)", re.DOTALL)
_NEXT = "then"


class ScriptConfig(InvokerConfig):
    """Config of `script`."""


class ScriptInvoker(ChatInvoker):
    """Does what the last user message says, step by step.

    Lines `call NAME {arguments}` call tools, those that follow each other at once. A line `then`
    begins the turn's next answer: after their results, or where the service asks again. All other
    lines are the text of the answer; an answer without any says what the tools gave back.
    """

    name: ClassVar[str | None] = "script"

    @classmethod
    @override
    def from_config(cls, config: dict[str, Any]) -> Self:
        read_config(ScriptConfig, config)
        return cls()

    @override
    async def ask(self, request: ChatRequest, context: InvocationContext) -> Answer:
        since = _since_user(request.messages)
        done = sum(message.role == "assistant" for message in since)
        steps = _steps(last_user_text(request.messages))
        lines = steps[done] if done < len(steps) else []
        reader, found = CallReader(), filter(None, map(_CALL.match, lines))
        calls = tuple(
            reader.read(match[1], match[2].strip() or "{}") for match in islice(found, MAX_CALLS)
        )
        text = "\n".join(line for line in lines if not _CALL.match(line)).strip()
        if not text and not calls:
            text = f"[script model] {_last_words(since)}"
        if text:
            await context.emit(text)
        return Answer(text, calls=calls)


def _steps(text: str) -> list[list[str]]:
    steps: list[list[str]] = [[]]
    for line in text.splitlines():
        if line.strip() == _NEXT:
            steps.append([])
        else:
            steps[-1].append(line)
    return steps


def _since_user(messages: list[ChatMessage]) -> list[ChatMessage]:
    """The messages since the user's last one."""
    last = max((n for n, message in enumerate(messages) if message.is_of_user), default=-1)
    return messages[last + 1 :]


def _last_words(messages: list[ChatMessage]) -> str:
    """What the tools gave back last."""
    results = next((message.outputs for message in reversed(messages) if message.outputs), ())
    said = "\n".join(f"{output.call.name}: {output.payload}" for output in results)
    return said or "There is nothing to do."
