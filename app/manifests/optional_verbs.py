"""The verbs that a kind need not have: each is a 501 until the kind defines it."""

from typing import Any, ClassVar, NoReturn

from app.errors import VerbNotImplementedError
from app.manifests.context import Context
from app.manifests.launch import Reply
from app.manifests.model.table import Table
from app.threads.commands.start import ThreadStart


class OptionalVerbs:
    """Refuses them.

    Attributes:
        kind: as it is spelled.
    """

    kind: ClassVar[str]

    async def deploy(self, context: Context, name: str) -> None:
        """Lets the resource be used."""
        self.not_supported("deploy")

    async def undeploy(self, context: Context, name: str) -> None:
        """Lets the resource not be used any more."""
        self.not_supported("undeploy")

    async def retry(
        self, context: Context, name: str, step: str | None, idempotency_key: str | None
    ) -> None:
        """Lets what failed last in the resource go on, if the step is part of it."""
        self.not_supported("retry")

    async def history(self, context: Context, name: str) -> Table:
        """The revisions of a resource, newest first."""
        self.not_supported("history")

    async def manifest_at(
        self, context: Context, name: str, revision: int | None
    ) -> dict[str, Any]:
        """A manifest that says what a resource was at a revision; None: at the one before."""
        self.not_supported("undo")

    async def prompt(self, context: Context, name: str, body: dict[str, Any]) -> ThreadStart:
        """The launch for a prompt; the conversation itself needs no transaction."""
        self.not_supported("prompt")

    async def reply(self, context: Context, name: str, body: dict[str, Any]) -> Reply:
        """What a prompt says in a session that is there."""
        self.not_supported("prompt")

    def not_supported(self, verb: str) -> NoReturn:
        """Refuses a verb that the kind does not support."""
        raise VerbNotImplementedError(f"Kind {self.kind} does not have the verb {verb!r}.")
