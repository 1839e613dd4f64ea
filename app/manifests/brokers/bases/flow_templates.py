"""What the templates of a flow name: invokers, connections, agents."""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlmodel import col, select

from app.catalog.child_tools import variables_schema
from app.db.models import Agent
from app.errors import FieldError, Loc
from app.invokers.chat_models.config import operator_faults
from app.invokers.llm import LlmInvoker
from app.manifests.context import Context
from app.manifests.model.envelope import bad_manifest
from app.queue.live_workers import unserved_text
from app.settings import LlmSettings
from app.settings.tenants import LimitSettings


async def check_calls(context: Context, templates: dict[str, Any]) -> None:
    """Holds the calls of agents to the variables of those that are there by now.

    Raises:
        BadRequestError: a value is for none of them, or one is missing.
    """
    calls = list(agents(templates, ("spec", "templates")))
    if not calls:
        return
    names = {call["agent"] for _, call in calls}
    query = select(Agent).where(Agent.org_id == context.caller.org_id, col(Agent.name).in_(names))
    variables = {agent.name: agent.variables for agent in await context.db.exec(query)}
    faults: list[FieldError] = [
        {"loc": [*place, "values", *at], "msg": msg}
        for place, call in calls
        if call["agent"] in variables
        for at, msg in _value_faults(call.get("values") or {}, variables[call["agent"]])
    ]
    if faults:
        raise bad_manifest(faults)


def _value_faults(
    values: Mapping[str, Any], variables: list[dict[str, Any]]
) -> Iterator[tuple[list[str], str]]:
    """What does not fit of the names of values for an agent's variables, with its place."""
    schema = variables_schema(variables)
    for name in values:
        if name not in schema["properties"]:
            yield [name], "the agent has no such variable"
    for name in schema["required"]:
        if name not in values:
            yield [], f"variable {name!r} needs a value"


def refuse_keys(templates: dict[str, Any]) -> None:
    """A flow is shown to everybody who may read: keys belong in Secrets."""
    for place, invoke in invokes(templates, ("spec", "templates")):
        config = invoke.get("config")
        if isinstance(config, dict) and "api_key" in config:
            msg = "a key has no place in a flow: invoke a Provider by its name"
            raise bad_manifest([{"loc": [*place, "config", "api_key"], "msg": msg}])


def check_limits(templates: dict[str, Any], limits: LimitSettings) -> None:
    """Holds what templates ask for to what the operator allows.

    Raises:
        BadRequestError: one asks for too much, or for a queue that is not for tenants.
    """
    loc = ("spec", "templates")
    faults = [
        fault for place, leaf in invokes(templates, loc) for fault in _excess(place, leaf, limits)
    ]
    faults += [
        {"loc": [*place, "queue"], "msg": _queue_refusal(name, limits)}
        for place, name in _queues(templates, loc)
        if not limits.allows_queue(name)
    ]
    if faults:
        raise bad_manifest(faults)


def check_operators_model(templates: dict[str, Any], llm: LlmSettings) -> None:
    """Holds what templates ask of the operator's model to what that is there for.

    Raises:
        BadRequestError: one chooses a model, or sets what is not a tenant's to set.
    """
    faults: list[FieldError] = [
        {"loc": [*place, "config", *at], "msg": msg}
        for place, leaf in invokes(templates, ("spec", "templates"))
        if leaf["invoke"] == LlmInvoker.name and isinstance(leaf.get("config"), dict)
        for at, msg in operator_faults(leaf["config"], llm)
    ]
    if faults:
        raise bad_manifest(faults)


def _excess(place: Loc, leaf: dict[str, Any], limits: LimitSettings) -> Iterator[FieldError]:
    """What is too much of what an invoker's template asks for."""
    retry = leaf.get("retry")
    attempts = retry.get("maximum_attempts") if isinstance(retry, dict) else None
    # With tools its session waits without a worker, for as long as it takes.
    timeout = None if leaf.get("tools") is not None else leaf.get("timeout")
    bounds: list[tuple[Loc, Any, float, str]] = [
        (("timeout",), timeout, limits.timeout_seconds, "seconds"),
        (("retries",), leaf.get("retries"), limits.attempts - 1, "retries"),
        (("retry", "maximum_attempts"), attempts, limits.attempts, "attempts"),
    ]
    for at, value, most, unit in bounds:
        if isinstance(value, int | float) and value > most:
            msg = f"this service allows {most:g} {unit} at the most"
            yield {"loc": [*place, *at], "msg": msg}


def _queue_refusal(name: str, limits: LimitSettings) -> str:
    return f"queue {name!r} is not for flows of manifests; those are: {', '.join(limits.queues)}"


def invokes(templates: dict[str, Any], loc: Loc) -> Iterator[tuple[Loc, dict[str, Any]]]:
    """The invoker templates of all states."""
    return ((at, leaf) for at, leaf in _leaves(templates, loc) if "invoke" in leaf)


def agents(templates: dict[str, Any], loc: Loc) -> Iterator[tuple[Loc, dict[str, Any]]]:
    """The calls of agents in all states."""
    return ((at, leaf) for at, leaf in _leaves(templates, loc) if "agent" in leaf)


def _leaves(templates: dict[str, Any], loc: Loc) -> Iterator[tuple[Loc, dict[str, Any]]]:
    """The templates of all states that name something; the loader bounds how deep they lie."""
    for state, template in templates.items():
        yield from _leaves_in(template, (*loc, state))


def _leaves_in(value: Any, loc: Loc) -> Iterator[tuple[Loc, dict[str, Any]]]:
    """Those of a tree; what stands where no template may is not looked into."""
    match value:
        case {"invoke": str()} | {"agent": str()}:
            yield loc, value
        case {"chain": list(parts)}:
            for index, part in enumerate(parts):
                yield from _leaves_in(part, (*loc, "chain", index))
        case {"parallel": dict(keyed)}:
            yield from _leaves(keyed, (*loc, "parallel"))
        case {"map": dict(mapped)}:
            yield from _leaves_in(mapped.get("template"), (*loc, "map", "template"))
        case {"queue": _, "template": part}:
            yield from _leaves_in(part, (*loc, "template"))
        case _:
            return


async def unserved_queues(context: Context, templates: dict[str, Any]) -> list[FieldError]:
    """A warning for each queue that no worker serves just now."""
    named = dict(_queues(templates, ("spec", "templates")))
    unserved = await context.runtime.live_workers.unserved(set(named.values()))
    return [
        {"loc": [*place, "queue"], "msg": unserved_text(queue)}
        for place, queue in named.items()
        if queue in unserved
    ]


def _queues(value: Any, loc: Loc) -> Iterator[tuple[Loc, str]]:
    """The queues of templates, each with its place; how deep they lie is bounded by the loader."""
    if isinstance(value, dict) and isinstance(value.get("queue"), str) and "template" in value:
        yield loc, value["queue"]
    parts = value.items() if isinstance(value, dict) else ()
    for key, part in enumerate(value) if isinstance(value, list) else parts:
        if key != "config":  # what an invoker has there is no template
            yield from _queues(part, (*loc, key))
