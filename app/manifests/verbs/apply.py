"""Applying the documents of one text: all of them, or none."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from app.access.caller import Caller
from app.errors import (
    BadRequestError,
    FieldError,
    NotFoundError,
    StatewrightError,
    faults_within,
)
from app.manifests.applied import Applied
from app.manifests.context import Context
from app.manifests.journal import Entry
from app.manifests.model.envelope import Manifest, bad_manifest, read_envelope
from app.manifests.registry import AnyBroker, BrokerRegistry


@dataclass(frozen=True, slots=True)
class Document:
    """One document of an apply: its number from 1, its broker, its manifest."""

    number: int
    broker: AnyBroker
    manifest: Manifest[Any]


class Apply:
    """One apply of one caller. The journal entry names the document that is worked on.

    Args:
        caller: whose key it is.
        brokers: of all kinds.
        entry: in the journal.
        changes: whether the caller needs the right to change resources of the kinds.
    """

    def __init__(
        self, caller: Caller, brokers: BrokerRegistry, entry: Entry, *, changes: bool = True
    ) -> None:
        self._caller = caller
        self._changes = changes
        self._brokers = brokers
        self._entry = entry

    @classmethod
    async def documents(
        cls, context: Context, documents: Sequence[dict[str, Any]]
    ) -> list[Applied]:
        """Applies documents in the transaction of another verb, under the rules of an apply."""
        apply = cls(context.caller, context.brokers, Entry(context.caller, "apply"))
        return await apply.write(context, apply.parse(documents))

    def parse(self, documents: Sequence[dict[str, Any]]) -> list[Document]:
        """The documents, each checked by its kind.

        Raises:
            BadRequestError: one is wrong, or two are about the same resource.
            ForbiddenError: the caller may not change one of the kinds.
        """
        parsed: list[Document] = []
        seen: set[tuple[str, str]] = set()
        for number, document in enumerate(documents, 1):
            with _document_named(number, len(documents)):
                found = self._parse(number, document)
                name = found.manifest.name
                if (found.broker.kind, name) in seen:
                    msg = f"{found.broker.kind} {name!r} is there twice"
                    raise BadRequestError(msg, errors=[{"loc": ["metadata", "name"], "msg": msg}])
                seen.add((found.broker.kind, name))
                parsed.append(found)
        return parsed

    async def write(self, context: Context, documents: Sequence[Document]) -> list[Applied]:
        """Applies what is named before what names it; then checks that all that is named is there.

        Returns:
            What was done with each, in the order of the documents.
        """
        for document in sorted(documents, key=lambda one: (one.broker.kind, one.manifest.name)):
            await document.broker.lock_name(context, document.manifest.name)
        applied: dict[int, Applied] = {}
        for document in sorted(documents, key=lambda one: self._brokers.rank(one.broker)):
            with self._current(document, len(documents)):
                done = await document.broker.apply(context, document.manifest)
                applied[document.number] = done
        for document in documents:
            with self._current(document, len(documents)):
                await _check_references(context, document)
                await document.broker.check_applied(context, document.manifest)
        return [applied[document.number] for document in documents]

    async def follow_up(
        self, context: Context, documents: Sequence[Document], applied: Sequence[Applied]
    ) -> list[Applied]:
        """Has what is looked up elsewhere looked up, side by side; all is committed by now."""
        followed = (
            document.broker.follow_up(context, one)
            for document, one in zip(documents, applied, strict=True)
        )
        return list(await asyncio.gather(*followed))

    def _parse(self, number: int, document: dict[str, Any]) -> Document:
        envelope = read_envelope(document)
        name = envelope.metadata.get("name")
        self._entry.name = name if isinstance(name, str) else None
        broker = self._broker_of(envelope.kind)
        self._entry.thing = broker.kind
        if self._changes:
            self._caller.require(broker.write_scope)
        return Document(number, broker, broker.parse(envelope))

    def _broker_of(self, kind: str) -> AnyBroker:
        try:
            return self._brokers.find(kind)
        except NotFoundError as error:
            fault: FieldError = {"loc": ["kind"], "msg": error.detail}
            raise BadRequestError(f"kind: {error.detail}", errors=[fault]) from None

    @contextmanager
    def _current(self, document: Document, total: int) -> Iterator[None]:
        self._entry.thing, self._entry.name = document.broker.kind, document.manifest.name
        with _document_named(document.number, total):
            yield


async def _check_references(context: Context, document: Document) -> None:
    """Requires that what a document names exists, after all documents of the apply.

    Raises:
        BadRequestError: something is not there. The error leaves out the name: it might be a
            pasted secret.
    """
    broker = document.broker
    references = broker.references(broker.normal_spec(document.manifest))
    kinds = {kind for reference in references for kind, _ in reference.candidates}
    if unknown := kinds - broker.refers_to:
        # By it is found who names what is to be deleted.
        raise AssertionError(f"refers_to of {broker.kind} lacks {', '.join(sorted(unknown))}")
    missing = [
        reference
        for reference in references
        if reference.must_exist and not await context.brokers.exists(context, reference)
    ]
    if missing:
        raise bad_manifest(
            [
                {"loc": ["spec", *ref.path], "msg": f"names no {ref.kind} of this org"}
                for ref in missing
            ]
        )


@contextmanager
def _document_named(number: int, total: int) -> Iterator[None]:
    """Adds to an error which of several documents it is about."""
    if total == 1:
        yield
        return
    try:
        with faults_within("documents", number - 1):
            yield
    except StatewrightError as error:
        error.detail = f"Document {number}: {error.detail}"
        raise
