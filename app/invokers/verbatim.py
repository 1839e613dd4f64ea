"""The invoker that gives back what it got: for states whose template already is the answer."""

from typing import Any, ClassVar, Self

from typing_extensions import override

from app.invokers.config import EmptyConfig, read_config
from app.invokers.invoker import InvocationContext, Invoker


class VerbatimInvoker(Invoker):
    """Calls nothing."""

    name: ClassVar[str | None] = "verbatim"

    @classmethod
    @override
    def from_config(cls, config: dict[str, Any]) -> Self:
        read_config(EmptyConfig, config)
        return cls()

    @override
    async def invoke(self, content: str, context: InvocationContext) -> str:
        await context.emit(content)
        return content
