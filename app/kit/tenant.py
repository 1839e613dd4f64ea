"""The org for which a task works: for what orgs share, far below where the caller is known."""

from contextvars import ContextVar

_tenant: ContextVar[str] = ContextVar("tenant", default="")


def work_for(org_id: str) -> None:
    """Notes the org for the rest of this task, and for the tasks that it starts."""
    _tenant.set(org_id)


def tenant() -> str:
    """The id of the org that was noted; empty for the service's own work."""
    return _tenant.get()
