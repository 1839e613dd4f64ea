"""Flows from manifests: checked whole when they are saved, compiled when sessions run them."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

from app.errors import BadRequestError, DefinitionMismatchError
from app.flows.findings import Findings
from app.flows.flow import Flow
from app.flows.keys import RESERVED_KEYS, is_key
from app.flows.manifest.chart_checks import ChartChecks
from app.flows.manifest.chart_machine import machine_of
from app.flows.manifest.chart_reader import ChartReader
from app.flows.manifest.facade import Facade
from app.flows.manifest.schema_model import model_from_schema
from app.flows.manifest.templates import ManifestTemplateReader
from app.flows.rendering.jinja import TemplateRenderer
from app.flows.template import Template
from app.kit.storable import Limits, NotStorableError, check_json

_PARTS = ("model", "statechart", "templates")
_MODEL_NAME = "ManifestModel"

# Of a spec, before anything recurses into it.
LIMITS = Limits(depth=128, values=20_000, chars=200_000, max_integer=2**63 - 1)


def compile_flow(
    key: str,
    revision: int,
    spec: Mapping[str, Any],
    renderer: TemplateRenderer,
    description: str | None = None,
) -> Flow:
    """Makes a flow of a spec that `check_flow` found nothing wrong with. Keep it: it takes a while.

    Args:
        key: what the flow is called in URLs.
        revision: counts from 1.
        spec: `model` (may be missing), `statechart` and `templates`, as in the manifest.
        renderer: of untrusted templates.
        description: for people.

    Raises:
        DefinitionMismatchError: the spec cannot be compiled, such as one of an older release.
    """
    try:
        model = model_from_schema(_MODEL_NAME, spec.get("model") or {})
        return Flow(
            key=key,
            revision=revision,
            machine=machine_of(spec["statechart"], model.own_fields()),
            model=model,
            templates=_templates(spec["templates"]),
            renderer=renderer,
            trusted=False,
            description=description,
            bind=Facade,
        )
    except Exception as error:
        # Whatever the library says of a spec that was refused if it came today.
        raise DefinitionMismatchError(
            f"Flow {key!r} (revision {revision}) cannot be loaded ({type(error).__name__})."
        ) from error


def check_flow(key: str, spec: object, *, invokers: Collection[str]) -> Findings:
    """Everything that is wrong with a flow, each fault with its loc; never raises.

    Runs for up to a second on the largest specs: see `check_flow_async`.

    Args:
        key: the flow's key; its loc is `["metadata", "name"]`.
        spec: what came, any JSON; places in it begin with `"spec"`.
        invokers: the names that templates may invoke.
    """
    findings = Findings()
    if not is_key(key):
        reason = "the name of a flow is a lower-case letter, then letters, digits, _ or -"
        findings.error(("metadata", "name"), f"{reason}, 63 at most")
    elif key in RESERVED_KEYS:
        findings.error(("metadata", "name"), f"the name {key!r} is reserved")
    try:
        check_json(spec, LIMITS)
    except NotStorableError as fault:
        findings.error(("spec", *fault.loc), fault.reason)
    else:
        _check_spec(spec, findings, invokers)
    return findings


async def check_flow_async(key: str, spec: object, *, invokers: Collection[str]) -> Findings:
    """`check_flow` in a thread, so that the event loop goes on meanwhile."""
    return await asyncio.to_thread(check_flow, key, spec, invokers=invokers)


def _check_spec(spec: object, findings: Findings, invokers: Collection[str]) -> None:
    given = findings.members(spec, ("spec",), _PARTS)
    for part in _PARTS[1:]:
        if part not in given:
            findings.error(("spec", part), "is missing")
    fields = _fields(given.get("model"), findings)
    chart = templates = None
    if "statechart" in given:
        chart = ChartReader(fields, findings).read(given["statechart"], ("spec", "statechart"))
    if "templates" in given:
        loc = ("spec", "templates")
        templates = ManifestTemplateReader(findings, invokers).read_all(given["templates"], loc)
    if chart is not None and templates is not None:
        ChartChecks(chart, templates, findings, ("spec", "templates")).run()
    if isinstance(spec, dict) and not findings.errors:
        _try(spec, fields, findings)


def _fields(model: object, findings: Findings) -> frozenset[str]:
    """The fields that a model declares, and what is wrong with it."""
    properties = {} if model is None else findings.mapping(model, ("spec", "model"))
    try:
        return model_from_schema(_MODEL_NAME, properties).own_fields()
    except BadRequestError as error:
        for fault in error.errors:
            findings.error(("spec", "model", *fault["loc"]), fault["msg"])
    return frozenset(properties)


def _try(spec: Mapping[str, Any], fields: frozenset[str], findings: Findings) -> None:
    """Has the library make the machine: it may know of a fault that the checks above do not."""
    try:
        machine_of(spec["statechart"], fields)
    except Exception as error:  # noqa: BLE001 - whatever the library raises, it refuses the chart
        findings.error(("spec", "statechart"), f"is not a statechart ({type(error).__name__})")


def _templates(spec: object) -> dict[str, Template]:
    """The templates of a spec that was checked.

    Raises:
        ValueError: one is wrong all the same.
    """
    findings = Findings()
    read = ManifestTemplateReader(findings, check_texts=False).read_all(spec, ())
    if findings.errors:
        raise ValueError(f"{findings.errors[0]['loc']}: {findings.errors[0]['msg']}")
    return {state: template for state, template in read.items() if template is not None}
