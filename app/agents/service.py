"""Agents in the database: create, find, list, change, delete. Every query stays in one org."""

from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlmodel import col, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.access.caller import Caller
from app.agents.record import (
    AgentRecord,
    AgentRevisionRecord,
    CreateAgentRequest,
    TemplateVariable,
    UpdateAgentRequest,
    check_declaration,
)
from app.db.models import Agent, AgentRevision
from app.db.models.columns import NOW
from app.db.paging import fitting, newest_page
from app.db.revisions import prune_agent_revisions
from app.enums import Quota
from app.errors import ConflictError, NotFoundError
from app.kit.concurrency.off_loop import off_loop
from app.kit.ids import new_id
from app.kit.paging import cut_page, decode_key, decode_number, encode_token
from app.settings import RevisionSettings
from app.sizes.limit import is_long
from app.wire.thread_requests import StartAgentThreadRequest


async def create_agent(
    db: AsyncSession,
    caller: Caller,
    request: CreateAgentRequest,
    *,
    meta: dict[str, Any] | None = None,
) -> AgentRecord:
    """Saves a new agent as its revision 1.

    Args:
        db: the transaction.
        caller: whose org the agent is made in.
        request: what the agent is.
        meta: what only its manifest says of it.

    Raises:
        BadRequestError: placeholders and declared variables do not fit.
        ConflictError: the name is taken.
    """
    caller.need(Quota.AGENTS, Quota.STORED_BYTES)
    template = await off_loop(
        lambda: _declared_template(request.request_template, request.variables),
        heavy=is_long(request),
    )
    agent = Agent(
        id=new_id("agt"),
        org_id=caller.org_id,
        name=request.name,
        description=request.description,
        request_template=template,
        variables=_variables_json(request.variables),
        flow=request.request_template.flow,
        meta=meta,
        created_by=caller.user_id,
        modified_by=caller.user_id,
    )
    db.add(agent)
    await _save(db, agent, caller)
    return await _record(agent)


async def get_agent(db: AsyncSession, caller: Caller, agent_id: str) -> AgentRecord:
    """Finds an agent by id, or raises `NotFoundError`."""
    return await _record(await _find(db, caller, agent_id))


async def get_agent_by_name(db: AsyncSession, caller: Caller, name: str) -> AgentRecord:
    """Finds an agent by name, or raises `NotFoundError`."""
    found = await db.exec(select(Agent).where(Agent.org_id == caller.org_id, Agent.name == name))
    agent = found.one_or_none()
    if agent is None:
        raise NotFoundError(f"There is no agent named {name!r}.")
    return await _record(agent)


async def list_agents(
    db: AsyncSession, caller: Caller, *, limit: int, page_token: str | None = None
) -> tuple[list[AgentRecord], str | None]:
    """One page of the org's agents, newest first, and the token of the next page if there is one.

    Raises:
        PageTokenError: the token is none of ours.
    """
    query = select(Agent).where(Agent.org_id == caller.org_id)
    page, token = await newest_page(db, query, Agent, limit=limit, page_token=page_token)
    return [await _record(agent) for agent in page], token


async def update_agent(
    db: AsyncSession,
    caller: Caller,
    agent_id: str,
    request: UpdateAgentRequest,
    *,
    keep: RevisionSettings,
    meta: dict[str, Any] | None = None,
) -> AgentRecord:
    """Changes what the request names; a change is a new revision, no change is none.

    The row is locked, so that of two updates at once each is applied whole.

    Args:
        db: the transaction.
        caller: whose org the agent is in.
        agent_id: which agent.
        request: what changes.
        keep: how many of its revisions are kept.
        meta: what its manifest says of it; None keeps what there is.

    Raises:
        BadRequestError: placeholders and declared variables of the merged agent do not fit.
        ConflictError: the name is taken.
        NotFoundError: there is no such agent.
    """
    agent = await _find(db, caller, agent_id, lock=True)
    before = agent.request_template, agent.variables

    def changed() -> dict[str, Any]:
        changes = _changes(request)
        template, variables = before
        check_declaration(
            changes.get("request_template", template),
            _variables(changes.get("variables", variables)),
        )
        return changes

    heavy = is_long([request, *before])
    changes = await off_loop(changed, heavy=heavy) | ({} if meta is None else {"meta": meta})
    if all(getattr(agent, field) == value for field, value in changes.items()):
        return await _record(agent)
    for field, value in changes.items():
        setattr(agent, field, value)
    agent.revision += 1
    agent.modified = NOW  # type: ignore[assignment] # an SQL expression; read back below
    agent.modified_by = caller.user_id
    await _save(db, agent, caller)
    await prune_agent_revisions(db, agent.id, keep)
    await db.refresh(agent, ["modified"])
    return await _record(agent)


async def delete_agent(db: AsyncSession, caller: Caller, agent_id: str) -> None:
    """Deletes an agent, or raises `NotFoundError`. Its threads and its revisions stay."""
    deleted = await db.exec(
        delete(Agent).where(col(Agent.org_id) == caller.org_id, col(Agent.id) == agent_id)
    )
    if not deleted.rowcount:
        raise _no_agent(agent_id)


async def list_revisions(
    db: AsyncSession, caller: Caller, agent_id: str, *, limit: int, page_token: str | None = None
) -> tuple[list[AgentRevisionRecord], str | None]:
    """One page of an agent's revisions, newest first, and the token of the next page."""
    await _find(db, caller, agent_id)
    query = select(AgentRevision).where(
        AgentRevision.org_id == caller.org_id, AgentRevision.agent_id == agent_id
    )
    if page_token is not None:
        before = decode_number(decode_key(page_token), bits=32)
        query = query.where(AgentRevision.revision < before)
    query = query.order_by(col(AgentRevision.revision).desc())
    most = await fitting(db, query, AgentRevision, limit)
    revisions = (await db.exec(query.limit(most + 1))).all()
    page, token = cut_page(revisions, most, lambda last: encode_token(str(last.revision)))
    return [await _revision_record(revision) for revision in page], token


async def _find(db: AsyncSession, caller: Caller, agent_id: str, *, lock: bool = False) -> Agent:
    query = select(Agent).where(Agent.org_id == caller.org_id, Agent.id == agent_id)
    agent = (await db.exec(query.with_for_update() if lock else query)).one_or_none()
    if agent is None:
        raise _no_agent(agent_id)
    return agent


def _no_agent(agent_id: str) -> NotFoundError:
    return NotFoundError(f"There is no agent {agent_id!r}.")


async def _save(db: AsyncSession, agent: Agent, caller: Caller) -> None:
    """Writes the agent and what it is now as a revision."""
    name = agent.name
    db.add(
        AgentRevision(
            agent_id=agent.id,
            revision=agent.revision,
            org_id=agent.org_id,
            name=name,
            description=agent.description,
            request_template=agent.request_template,
            variables=agent.variables,
            flow=agent.flow,
            created_by=caller.user_id,
        )
    )
    try:
        await db.flush()
    except IntegrityError as error:
        if "uq_agent_org_id_name" not in str(error.orig):
            raise
        raise ConflictError(f"There is an agent named {name!r} already.") from None


def _changes(request: UpdateAgentRequest) -> dict[str, Any]:
    """The columns that the request sets, as they are stored."""
    given = request.model_fields_set
    changes: dict[str, Any] = {field: getattr(request, field) for field in given}
    if "request_template" in given:
        changes["request_template"] = _template_json(request.request_template)
        changes["flow"] = request.request_template.flow
    if "variables" in given:
        changes["variables"] = _variables_json(request.variables)
    return changes


def _declared_template(
    template: StartAgentThreadRequest, variables: list[TemplateVariable]
) -> dict[str, Any]:
    """A template as it is stored, whose placeholders are what is declared."""
    stored = _template_json(template)
    check_declaration(stored, variables)
    return stored


def _template_json(template: StartAgentThreadRequest) -> dict[str, Any]:
    """The template as its author wrote it: defaults are not frozen into what is stored."""
    return template.model_dump(mode="json", exclude_unset=True)


def _variables_json(variables: list[TemplateVariable]) -> list[dict[str, Any]]:
    return [variable.model_dump(mode="json") for variable in variables]


def _variables(stored: list[dict[str, Any]]) -> list[TemplateVariable]:
    return [TemplateVariable.model_validate(variable) for variable in stored]


async def _template(stored: dict[str, Any]) -> StartAgentThreadRequest:
    """A template as it is stored, read beside the event loop where it is large."""
    return await off_loop(
        lambda: StartAgentThreadRequest.model_validate(stored), heavy=is_long(stored)
    )


async def _record(agent: Agent) -> AgentRecord:
    return AgentRecord(
        agent_id=agent.id,
        org_id=agent.org_id,
        revision=agent.revision,
        name=agent.name,
        description=agent.description,
        request_template=await _template(agent.request_template),
        variables=_variables(agent.variables),
        created=agent.created,
        created_by=agent.created_by,
        modified=agent.modified,
        modified_by=agent.modified_by,
    )


async def _revision_record(revision: AgentRevision) -> AgentRevisionRecord:
    return AgentRevisionRecord(
        agent_id=revision.agent_id,
        revision=revision.revision,
        name=revision.name,
        description=revision.description,
        request_template=await _template(revision.request_template),
        variables=_variables(revision.variables),
        created=revision.created,
        created_by=revision.created_by,
    )
