"""Old revisions are deleted: a resource keeps so many, and so many bytes of them.

Never the newest, nor one that was the newest within the last minute: a request that has read it may
be about to start a session of it. A revision of a flow stays while a session runs it.
"""

from sqlalchemy import TextClause, text
from sqlmodel.ext.asyncio.session import AsyncSession

from app.settings import RevisionSettings

# Of the revisions of one resource: which may go. What a row takes is asked of its header: to read a
# value of megabytes for that would take longer than to save one.


def _deletion(*, table: str, own: str, content: str, unused: str) -> TextClause:
    """The statement that deletes old revisions."""
    statement = """
WITH counted AS (
  SELECT revision, row_number() OVER newest AS number, lag(created) OVER newest AS replaced,
    sum(pg_column_size({content})) OVER newest AS bytes
  FROM {table} WHERE {own} WINDOW newest AS (ORDER BY revision DESC)
), old AS (
  SELECT revision FROM counted
  WHERE (number > :most OR bytes > :most_bytes)
    AND replaced < clock_timestamp() - interval '1 minute'
)
DELETE FROM {table} r USING old WHERE {own} AND r.revision = old.revision AND {unused}"""
    return text(statement.format(table=table, own=own, content=content, unused=unused))


# The condition on `flow_revision` is that of an index.
_NO_SESSION = """NOT EXISTS (SELECT 1 FROM session s WHERE s.org_id = :org AND s.flow = :key
  AND s.flow_revision = r.revision AND s.flow_revision > 0)"""

_OF_AGENT = _deletion(
    table="agent_revision", own="agent_id = :agent", content="request_template", unused="true"
)
_OF_FLOW = _deletion(
    table="flow_revision",
    own="org_id = :org AND key = :key",
    content="spec",
    unused=_NO_SESSION,
)


async def prune_agent_revisions(db: AsyncSession, agent_id: str, keep: RevisionSettings) -> None:
    """Deletes the old revisions of an agent; its sessions have all that they need themselves."""
    await (await db.connection()).execute(_OF_AGENT, {"agent": agent_id, **_bounds(keep)})


async def prune_flow_revisions(
    db: AsyncSession, org_id: str, key: str, keep: RevisionSettings
) -> None:
    """Deletes the old revisions of a flow that no session runs."""
    await (await db.connection()).execute(_OF_FLOW, {"org": org_id, "key": key, **_bounds(keep)})


def _bounds(keep: RevisionSettings) -> dict[str, int]:
    return {"most": keep.most, "most_bytes": keep.max_bytes}
