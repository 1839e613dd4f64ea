"""The journal of what REST requests change, beside that of the verbs on manifests.

An endpoint that changes something takes its transaction from `app.api.deps.Changes`, in which an
entry is written with the change. It is named by the endpoint's function and the first part of its
path that is not fixed; where resources have names, the endpoint says which by `changes_name`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.requests import Request

from app.access.caller import Caller
from app.manifests.journal import Entry

_KIND_OF_TAG = {"agents": "Agent", "skills": "Skill", "threads": "Session"}
_ENTRY = "journal entry"
_OK = 200


@asynccontextmanager
async def journal_of(request: Request, db: AsyncSession, caller: Caller) -> AsyncIterator[None]:
    """Writes the entry of a request into its transaction, if it succeeds."""
    route = request.scope["route"]
    entry = Entry(caller, route.name.rstrip("_"), thing=_KIND_OF_TAG.get(route.tags[0]))
    entry.name = next(iter(request.path_params.values()), None)
    entry.detail = {"method": request.method}
    db.info[_ENTRY] = [entry]
    yield
    db.add_all(one.row(_OK) for one in db.info[_ENTRY])


def changes_name(db: AsyncSession, name: str, before: str | None = None) -> None:
    """Says which resource a request changes, and how it was called before."""
    entries: list[Entry] = db.info[_ENTRY]
    entries[0].name = name
    if before not in (None, name):
        entries.append(entries[0].renamed(before, name))
