"""The verbs, as the HTTP edge calls them; the command line goes through HTTP."""

from dataclasses import replace
from functools import partial
from typing import Any

from app.access.caller import Caller, KeyScope
from app.access.crypto import Vault
from app.idempotency.request import request_hash
from app.kit.concurrency.off_loop import off_loop
from app.manifests.context import Context
from app.manifests.journal import Entry, keep, write_all
from app.manifests.launch import Reply
from app.manifests.model.table import GetQuery, table_data
from app.manifests.registry import AnyBroker, BrokerRegistry, all_brokers
from app.manifests.text.document import load_text
from app.manifests.verbs.apply import Apply
from app.manifests.verbs.apply_answer import applied_answer, entry_of, pruned_entry, within_limits
from app.manifests.verbs.prompt import single, wait_for_answer
from app.manifests.verbs.prune import Named, Prune
from app.manifests.verbs.prune import prune as prune_undeclared
from app.manifests.verbs.runner import ChangeMode, VerbAnswer, VerbRunner, trial, verb_answer
from app.sessions.runtime import Runtime
from app.sessions.turn.opening import StartIdentity
from app.sizes.limit import is_long
from app.threads.commands.send import send_message
from app.threads.commands.start import ThreadStart, start_prepared_thread

_OK = 200


class ManifestService:
    """All verbs, for callers of one process."""

    def __init__(
        self, runtime: Runtime, vault: Vault, brokers: BrokerRegistry | None = None
    ) -> None:
        self._verbs = VerbRunner(runtime, vault, brokers or all_brokers())
        self.report = self._verbs.report

    async def apply(
        self,
        caller: Caller,
        body: bytes | str,
        mode: ChangeMode,
        prune: Prune | None = None,
    ) -> VerbAnswer:
        """Applies all documents of a text in one transaction, or none.

        Args:
            caller: whose key it is.
            body: the text.
            mode: how all is changed.
            prune: what to delete if no document declares it.

        Raises:
            PayloadTooLargeError: over 256 KB.
            BadRequestError: a document is wrong, or names what is not there.
            ConflictError: a document's `resourceVersion` is stale, or what is pruned is in use.
        """
        async with self._verbs.journaled(caller, "apply") as entry:
            caller.require(KeyScope.WRITE)
            return await self._apply(caller, body, entry, mode, prune)

    async def diff(self, caller: Caller, body: bytes | str) -> VerbAnswer:
        """What an apply would do, for who may only read; errors are those of an apply."""
        async with self._verbs.journaled(caller, "diff") as entry:
            caller.require(KeyScope.READ)
            return await self._apply(caller, body, entry, ChangeMode(dry_run=True), changes=False)

    async def _apply(
        self,
        caller: Caller,
        body: bytes | str,
        entry: Entry,
        mode: ChangeMode,
        prune: Prune | None = None,
        *,
        changes: bool = True,
    ) -> VerbAnswer:
        verbs, dry_run, keyed = self._verbs, mode.dry_run, mode.keyed
        apply = Apply(caller, verbs.brokers, entry, changes=changes)
        texts = await load_text(body)
        documents = await off_loop(lambda: apply.parse(texts), heavy=is_long(texts))
        pruned: list[Named] = []
        async with verbs.runtime.database.transaction() as db:
            if (before := await verbs.answered_before(db, keyed)) is not None:
                return before
            async with trial(db, dry_run=dry_run):
                context = verbs.context(db, caller, dry_run=dry_run)
                applied = await apply.write(context, documents)
                if prune is not None:
                    declared = {(one.kind, one.manifest["metadata"]["name"]) for one in applied}
                    pruned = await prune_undeclared(context, prune, declared)
            applied = await within_limits(applied)
            entries = [entry_of(entry, one, dry_run=dry_run) for one in applied]
            dropped = [pruned_entry(caller, named, dry_run=dry_run) for named in pruned]
            await write_all(db, (*entries, *dropped), _OK)
            answered = partial(
                applied_answer, entries, pruned=pruned if prune else None, dry_run=dry_run
            )
            await verbs.keep_answer(db, keyed, answered(applied))
        if dry_run:
            return answered(applied)
        answer = answered(await apply.follow_up(context, documents, applied))
        if keyed is not None:
            async with verbs.runtime.database.transaction() as db:
                await verbs.keep_answer(db, keyed, answer)  # with what was found elsewhere
        return answer

    async def describe(self, caller: Caller, kind: str, name: str) -> VerbAnswer:
        """The manifest of a resource; it can be applied as it is."""
        return await self._verbs.run(
            caller, "describe", kind, name, lambda context, broker: broker.describe(context, name)
        )

    async def get(self, caller: Caller, kind: str, query: GetQuery) -> VerbAnswer:
        """Resources as a table."""
        found = await self._verbs.run(
            caller, "get", kind, query.name, lambda context, broker: broker.get(context, query)
        )
        kwargs = query.model_dump(exclude_unset=True)
        return replace(found, data=table_data(found.data, found.thing, query.name, kwargs))

    async def delete(self, caller: Caller, kind: str, name: str, mode: ChangeMode) -> VerbAnswer:
        """Deletes a resource that no other names."""
        return await self._verbs.run(
            caller,
            "delete",
            kind,
            name,
            lambda context, broker: broker.delete(context, name),
            mode=mode,
        )

    async def deploy(self, caller: Caller, kind: str, name: str, mode: ChangeMode) -> VerbAnswer:
        """Lets a resource be used."""
        return await self._verbs.run(
            caller,
            "deploy",
            kind,
            name,
            lambda context, broker: broker.deploy(context, name),
            mode=mode,
        )

    async def undeploy(self, caller: Caller, kind: str, name: str, mode: ChangeMode) -> VerbAnswer:
        """Lets a resource not be used any more."""
        return await self._verbs.run(
            caller,
            "undeploy",
            kind,
            name,
            lambda context, broker: broker.undeploy(context, name),
            mode=mode,
        )

    async def retry(
        self, caller: Caller, kind: str, name: str, step: str | None, mode: ChangeMode
    ) -> VerbAnswer:
        """Lets what failed last in a resource go on."""
        key = None if mode.keyed is None else mode.keyed.key
        return await self._verbs.run(
            caller,
            "retry",
            kind,
            name,
            lambda context, broker: broker.retry(context, name, step, key),
            mode=mode,
        )

    async def history(self, caller: Caller, kind: str, name: str) -> VerbAnswer:
        """The revisions of a resource, newest first."""
        found = await self._verbs.run(
            caller, "history", kind, name, lambda context, broker: broker.history(context, name)
        )
        return replace(found, data=table_data(found.data, found.thing, name, {}))

    async def undo(
        self, caller: Caller, kind: str, name: str, revision: int | None, mode: ChangeMode
    ) -> VerbAnswer:
        """Makes a resource again what it was at a revision, as its newest one."""

        async def undo(context: Context, broker: AnyBroker) -> dict[str, Any]:
            document = await broker.manifest_at(context, name, revision)
            [applied] = await Apply.documents(context, [document])
            return {"operation": applied.operation, "diff": applied.diff}

        return await self._verbs.run(caller, "undo", kind, name, undo, mode=mode)

    async def logs(self, caller: Caller, kind: str, name: str, limit: int) -> VerbAnswer:
        """The most recent log entries of a resource, oldest first."""
        found = await self._verbs.run(
            caller, "logs", kind, name, lambda context, broker: broker.logs(context, name, limit)
        )
        return replace(found, data=table_data(found.data, found.thing, name, {"i": limit}))

    async def example_manifest(self, caller: Caller, kind: str) -> VerbAnswer:
        """A manifest of the kind that applies as it is."""
        return await self._verbs.run(
            caller,
            "example_manifest",
            kind,
            None,
            lambda context, broker: broker.example_manifest(context),
        )

    async def json_schema(self, caller: Caller, kind: str) -> VerbAnswer:
        """The JSON Schema of the kind's manifests."""
        return await self._verbs.run(
            caller, "json_schema", kind, None, lambda _, broker: broker.json_schema()
        )

    async def prompt(
        self, caller: Caller, name: str, body: bytes | str, idempotency_key: str | None = None
    ) -> VerbAnswer:
        """Launches a session of an agent, and waits for its answer; no transaction waits with it.

        Raises:
            AnswerTimeoutError: it did not come in time; the session goes on, and is named.
            IdempotencyMismatchError: the key came before, with another request.
        """
        runtime = self._verbs.runtime
        async with self._verbs.journaled(caller, "prompt", name) as entry:
            entry.thing = "Agent"
            caller.require(KeyScope.WRITE)
            document = single(await load_text(body))
            if document.get("session") is not None:
                session_id = await self._reply(caller, name, document, idempotency_key)
            else:
                text = body if isinstance(body, str) else body.decode(errors="replace")
                identity = StartIdentity(idempotency_key, request_hash("prompt", name, text))
                session_id = await self._launch(caller, name, document, identity)
            data = await wait_for_answer(runtime, caller, session_id, entry)
            await keep(runtime.database, entry, _OK)  # the answer is there, whatever fails
            return verb_answer(entry, data)

    async def _launch(
        self, caller: Caller, name: str, document: dict[str, Any], identity: StartIdentity
    ) -> str:
        """The session of a prompt; the same one for the same prompt with its key."""
        verbs = self._verbs

        async def prepare() -> ThreadStart:
            async with verbs.runtime.database.transaction() as db:
                broker = verbs.brokers.find("Agent")
                return await broker.prompt(verbs.context(db, caller), name, document)

        thread = await start_prepared_thread(verbs.runtime, caller, identity, prepare)
        return str(thread["thread_id"])

    async def _reply(
        self, caller: Caller, name: str, document: dict[str, Any], idempotency_key: str | None
    ) -> str:
        """The session that a prompt names, once it was said there."""
        verbs = self._verbs
        async with verbs.runtime.database.transaction() as db:
            broker = verbs.brokers.find("Agent")
            reply: Reply = await broker.reply(verbs.context(db, caller), name, document)
        session_id = reply.session_id
        await send_message(verbs.runtime, caller, session_id, reply.request, idempotency_key)
        return session_id
