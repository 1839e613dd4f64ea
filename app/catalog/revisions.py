"""Saving flows that are declared as manifests: checked whole, one revision for each change."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import func
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.access.caller import Caller
from app.db.models import FlowRevision
from app.db.revisions import prune_flow_revisions
from app.errors import BadRequestError, FieldError
from app.flows.manifest.chart_source import number_of_states
from app.flows.manifest.compile import check_flow_async
from app.settings import RevisionSettings


async def save_flow(
    db: AsyncSession,
    caller: Caller,
    key: str,
    spec: dict[str, Any],
    *,
    description: str | None,
    meta: dict[str, Any] | None = None,
    invokers: Collection[str],
    reserved_keys: Collection[str],
    keep: RevisionSettings,
) -> tuple[FlowRevision, list[FieldError]]:
    """Saves a flow as its next revision, or finds that nothing changed.

    Args:
        db: the transaction.
        caller: who saves it.
        key: what it is called.
        spec: `model`, `statechart` and `templates`.
        description: what it is for.
        meta: what else its manifest says of it.
        invokers: names that its templates may invoke.
        reserved_keys: keys of flows in code.
        keep: how many of its revisions are kept.

    Returns:
        The newest revision, and warnings.

    Raises:
        BadRequestError: the flow is wrong; every fault is named with its place.
    """
    if key in reserved_keys:
        fault: FieldError = {"loc": ["metadata", "name"], "msg": "a flow in code has this key"}
        raise BadRequestError(f"The flow key {key!r} is taken.", errors=[fault])
    findings = await check_flow_async(key, spec, invokers=invokers)
    if findings.errors:
        raise BadRequestError(f"Flow {key!r} has faults.", errors=findings.errors)
    # One writer of a flow at a time, so that two at once make two revisions.
    lock = func.pg_advisory_xact_lock(func.hashtextextended(f"{caller.org_id}/{key}", 0))
    await db.scalar(select(lock))
    newest = await newest_revision(db, caller, key)
    if newest is not None and not newest.deleted:
        before = (newest.spec, newest.description, newest.meta or {})
        if before == (spec, description, meta or {}):
            return newest, findings.warnings
    saved = FlowRevision(
        org_id=caller.org_id,
        key=key,
        revision=newest.revision + 1 if newest else 1,
        description=description,
        meta=meta,
        spec=spec,
        number_of_states=number_of_states(spec["statechart"]),
        created_by=caller.user_id,
    )
    db.add(saved)
    await db.flush()
    await prune_flow_revisions(db, caller.org_id, key, keep)
    return saved, findings.warnings


async def delete_flow(db: AsyncSession, caller: Caller, newest: FlowRevision) -> None:
    """Deletes a flow as of its next revision; sessions that run go on at theirs."""
    gone = FlowRevision(
        org_id=caller.org_id,
        key=newest.key,
        revision=newest.revision + 1,
        spec={},
        deleted=True,
        created_by=caller.user_id,
    )
    db.add(gone)
    await db.flush()


async def newest_revision(db: AsyncSession, caller: Caller, key: str) -> FlowRevision | None:
    """A flow's newest revision; it may say that the flow is deleted."""
    query = (
        select(FlowRevision)
        .where(FlowRevision.org_id == caller.org_id, FlowRevision.key == key)
        .order_by(col(FlowRevision.revision).desc())
        .limit(1)
    )
    return (await db.exec(query)).one_or_none()
