"""The way from an agent and a launch to the request that starts a thread."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from sqlmodel.ext.asyncio.session import AsyncSession

from app.access.caller import Caller
from app.agents.entities import EntityKind, find_entities, find_named_entities
from app.agents.placeholders import inserted_size, substitute
from app.agents.record import AgentRecord, TemplateVariable, TemplateVariableType
from app.db.models import Entity
from app.errors import BadRequestError, FieldError
from app.kit.concurrency.off_loop import off_loop
from app.sizes.limit import is_long
from app.wire.client_context import AnalysisScope
from app.wire.thread_requests import LaunchAgentRequest, StartAgentThreadRequest

# Many placeholders times a long value: without a bound, a small launch makes a huge request.
MAX_INSERTED = 5_000_000

_KIND_OF_TYPE = {
    TemplateVariableType.DATASET_ID: EntityKind.DATASET,
    TemplateVariableType.DEVICE_ID: EntityKind.DEVICE,
    TemplateVariableType.COLLECTION_ID: EntityKind.COLLECTION,
}


async def resolve_agent(
    db: AsyncSession, caller: Caller, agent: AgentRecord, launch: LaunchAgentRequest
) -> StartAgentThreadRequest:
    """The agent's template with its placeholders filled: what a launch starts a thread with.

    The launch's visibility wins, and so do each end of its analysis scope that is set, and its
    output schema.

    Raises:
        BadRequestError: unknown or missing values, typed values that name nothing in the org, or
            a result that is no valid request; all faults at once, each with its place.
    """
    values = _with_defaults(agent.variables, launch.values)
    typed = _typed(agent.variables)
    entities = await find_entities(db, caller.org_id, {values[k] for k in typed if k in values})
    named = await _named_entities(db, caller, typed, values, entities)
    values |= {name: entity.id for name, entity in named.items()}
    entities |= {entity.id: entity for entity in named.values()}
    errors = [
        *_unknown(agent.variables, launch.values),
        *_missing(agent.variables, values),
        *_wrong_entities(agent.variables, values, entities),
    ]
    if errors:
        raise _bad_launch(errors)
    return await off_loop(
        lambda: _fill(agent.request_template, values, launch),
        heavy=is_long([agent.request_template, values]),
    )


def _fill(
    template: StartAgentThreadRequest, values: dict[str, str], launch: LaunchAgentRequest
) -> StartAgentThreadRequest:
    stored = template.model_dump(mode="json", exclude_unset=True)
    if inserted_size(stored, values) > MAX_INSERTED:
        raise _bad_launch(
            [{"loc": ["values"], "msg": f"the values put in {MAX_INSERTED} characters or more"}]
        )
    return _validated(substitute(stored, values), launch)


def _validated(resolved: dict[str, Any], launch: LaunchAgentRequest) -> StartAgentThreadRequest:
    resolved["visibility"] = launch.visibility
    if launch.output_schema is not None:
        resolved["output_schema"] = launch.output_schema
    try:
        request = StartAgentThreadRequest.model_validate(resolved)
        if launch.analysis_scope:
            authored = request.analysis_scope or AnalysisScope()
            request.analysis_scope = authored.merge(launch.analysis_scope)
    except ValidationError as error:
        faults: list[FieldError] = [
            {"loc": ["request_template", *fault["loc"]], "msg": fault["msg"]}
            for fault in error.errors(include_url=False, include_context=False)
        ]
        raise _bad_launch(faults) from None
    return request


def _with_defaults(variables: list[TemplateVariable], values: Mapping[str, str]) -> dict[str, str]:
    defaults = {v.name: v.default for v in variables if v.default is not None}
    declared = {v.name for v in variables}
    return defaults | {name: value for name, value in values.items() if name in declared}


def _typed(variables: list[TemplateVariable]) -> dict[str, TemplateVariable]:
    return {v.name: v for v in variables if v.type in _KIND_OF_TYPE}


async def _named_entities(
    db: AsyncSession,
    caller: Caller,
    typed: Mapping[str, TemplateVariable],
    values: Mapping[str, str],
    entities: Mapping[str, Entity],
) -> dict[str, Entity]:
    """What typed values name by its name and not by its id, by variable."""
    left = {name: values[name] for name in typed if values.get(name, "") not in {"", *entities}}
    named = await find_named_entities(db, caller.org_id, left.values())
    found = {
        name: named.get((_KIND_OF_TYPE[typed[name].type].value, value))
        for name, value in left.items()
    }
    return {name: entity for name, entity in found.items() if entity is not None}


def _unknown(variables: list[TemplateVariable], given: Mapping[str, str]) -> Iterator[FieldError]:
    declared = {v.name for v in variables}
    for name in given:
        if name not in declared:
            yield {"loc": ["values", name], "msg": f"the agent has no variable {name!r}"}


def _missing(variables: list[TemplateVariable], values: Mapping[str, str]) -> Iterator[FieldError]:
    for variable in variables:
        if variable.name not in values:
            yield {
                "loc": ["values", variable.name],
                "msg": f"variable {variable.name!r} needs a value",
            }


def _wrong_entities(
    variables: list[TemplateVariable], values: Mapping[str, str], entities: Mapping[str, Entity]
) -> Iterator[FieldError]:
    for name, variable in _typed(variables).items():
        if name not in values:
            continue
        entity, kind = entities.get(values[name]), _KIND_OF_TYPE[variable.type]
        content_type = variable.collection_content_type
        if entity is None or entity.kind != kind:
            yield {
                "loc": ["values", name],
                "msg": f"variable {name!r}: there is no {kind.value} {values[name][:100]!r}",
            }
        elif content_type and entity.content_type != content_type:
            yield {
                "loc": ["values", name],
                "msg": f"variable {name!r}: {entity.id} does not hold {content_type.value} entries",
            }


def _bad_launch(errors: list[FieldError]) -> BadRequestError:
    detail = "; ".join(error["msg"] for error in errors[:3]) + ("; …" if len(errors) > 3 else "")  # noqa: PLR2004 - as many as read well in one line
    return BadRequestError(f"The agent cannot be launched so: {detail}.", errors=errors)
