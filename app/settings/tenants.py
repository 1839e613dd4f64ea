"""What the operator allows tenants: what their flows may ask for, and how much an org may have."""

from pydantic import BaseModel, Field

from app.enums import Quota
from app.settings.types import CommaList


class LimitSettings(BaseModel):
    """What flows of tenants may ask for; those in code are the operator's."""

    timeout_seconds: float = Field(600.0, gt=0, description="Longest timeout of one attempt")
    attempts: int = Field(10, gt=0, description="Most attempts of one step")
    queues: CommaList[str] = Field(
        default=["default"], description="Queues that they may name; `*`: all"
    )

    def allows_queue(self, name: str) -> bool:
        """Whether flows of tenants may name a queue."""
        return name in self.queues or "*" in self.queues


class QuotaSettings(BaseModel):
    """How much each org may have; its Account may say less.

    Counted by a worker from time to time, so an org may have more for as long as that takes.
    """

    running_steps: int = Field(20_000, ge=0, description="Steps that run or wait for a slot")
    stored_bytes: int = Field(
        20_000_000_000, ge=0, description="Bytes of sessions, flows, agents and skills"
    )
    sessions: int = Field(1_000_000, ge=0, description="Sessions, of threads and of flows")
    flows: int = Field(1_000, ge=0, description="Flows of manifests")
    agents: int = Field(1_000, ge=0, description="Agents")
    skills: int = Field(1_000, ge=0, description="Skills")
    secrets: int = Field(1_000, ge=0, description="Secrets")
    keys: int = Field(1_000, ge=0, description="API keys that are not revoked")
    resources: int = Field(10_000, ge=0, description="Tools, Providers, connections and the like")
    count_seconds: float = Field(60.0, gt=0, description="Pause between counts; of steps 5 at most")

    def limit(self, quota: Quota) -> int:
        """The limit of one quota."""
        limit: int = getattr(self, quota.value)
        return limit
