"""All settings, one small model per concern, read from the environment.

`STATEWRIGHT_<CONCERN>__<FIELD>` sets a field (`STATEWRIGHT_WORKER__CONCURRENCY=40`).
`DATABASE_URL` and `REDIS_URL` are accepted without the prefix too.
"""

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import AliasChoices, BaseModel, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.kit.credential import Credential, HeaderCredential
from app.settings.http import ApiSettings, ListSettings, RequestSettings
from app.settings.tenants import LimitSettings, QuotaSettings
from app.settings.types import CommaList

DEV_SECRET_KEY = "statewright-dev-only"  # noqa: S105 - a marker that production start-up refuses


class WorkerSettings(BaseModel):
    """The worker process."""

    concurrency: int = Field(25, gt=0, description="Steps of each queue that a worker runs at once")
    org_share: float = Field(
        0.8,
        gt=0,
        le=1,
        description="Part of them that one org has at the most; others share the rest in turn",
    )
    queues: CommaList[str] = Field(default=["default"], description="Queues that the worker serves")
    pool_size: int = Field(8, gt=0, description="PostgreSQL connections of the hot path")
    suspects: int = Field(
        1, gt=0, description="Steps that lost a worker of which another runs so many at once"
    )
    drain_seconds: int = Field(30, ge=0, description="How long SIGTERM waits for running steps")


class StepSettings(BaseModel):
    """Leases, retries and the sweeper."""

    lease_seconds: float = Field(8.0, gt=0, description="A step not renewed for so long is lost")
    timeout_seconds: float = Field(120.0, gt=0, description="Default limit of one attempt")
    max_attempts: int = Field(4, gt=0, description="Attempts that an invoker may fail")
    max_losses: int = Field(
        1,
        ge=0,
        description="Attempts that may end without an answer, as when a worker is killed;"
        " after one more the step is quarantined",
    )
    invocation_seconds: float = Field(
        86_400.0, gt=0, description="An invocation that takes longer fails"
    )
    backoff_seconds: float = Field(0.5, gt=0, description="First retry delay; doubles, jittered")
    backoff_max_seconds: float = Field(60.0, gt=0, description="Longest delay between attempts")
    sweep_seconds: float = Field(1.0, gt=0, description="Pause between sweeps")
    republish_seconds: float = Field(
        5.0, gt=0, description="A due step nobody claimed is published again after this"
    )


class SessionSettings(BaseModel):
    """Settings of conversations that run."""

    lock_wait_seconds: float = Field(2.0, ge=0, description="Wait for a busy session, then 409")
    lock_ttl_seconds: float = Field(5.0, gt=0, description="A holder that died is forgotten")
    ephemeral_ttl_seconds: int = Field(3600, gt=0, description="Life of an ephemeral session")
    expire_sweep_seconds: float = Field(5.0, gt=0, description="Pause between sweeps of expired")
    compression: bool = Field(default=True, description="Compress stored session models")
    model_values: int = Field(
        100_000,
        gt=0,
        description="Most JSON values in a session's model, or in one value beside it",
    )
    prompt_wait_seconds: float = Field(
        60.0, gt=0, le=600, description="How long `prompt` waits for an agent's answer"
    )
    max_invocations_per_turn: int = Field(
        1000, gt=0, description="Invocations that one event may lead to, one after the other"
    )
    max_unattended_changes: int = Field(
        10_000, gt=0, description="Changes of a session by timers since a client acted in it"
    )
    history_messages: int = Field(
        200, gt=0, description="Most recent messages that chat sends to its model"
    )
    # Even as YAML escapes, ten bytes each, they stay below what a manifest's template may render.
    history_characters: int = Field(
        90_000,
        gt=0,
        description="Characters of a dialogue that models and templates are shown",
    )


class FlowSettings(BaseModel):
    """Flows that are declared as manifests."""

    max_compiled_bytes: int = Field(
        256_000_000, ge=0, description="Memory of the flows that a process keeps compiled"
    )


class RevisionSettings(BaseModel):
    """Revisions of an agent or a flow; older ones that no session runs are deleted."""

    most: int = Field(100, gt=0, description="Revisions of one that are kept")
    max_bytes: int = Field(
        20_000_000, gt=0, description="Bytes of them, as they are stored, that are kept"
    )


class JournalSettings(BaseModel):
    """The record of every verb."""

    retention_days: float = Field(90.0, gt=0, description="Older entries are deleted")
    sweep_seconds: float = Field(60.0, gt=0, description="Pause between sweeps of old entries")


class IdempotencySettings(BaseModel):
    """The answers of requests with an idempotency key; those of sessions stay with the session."""

    retention_hours: float = Field(24.0, gt=0, description="Older answers are deleted")
    max_answer_bytes: int = Field(
        1_000_000, ge=0, description="A longer answer is not kept, but that it was given"
    )


class LlmSettings(BaseModel):
    """The default model provider; with none, the built-in `echo` model answers."""

    provider: str | None = Field(None, description="openai, anthropic, …; none means `echo`")
    base_url: str | None = None
    model: str | None = None
    api_key: HeaderCredential | None = None
    stream: bool = Field(default=True, description="Ask for answers as a stream")
    echo_delay_seconds: float = Field(0.0, ge=0, description="Pause between words of `echo`")
    tenant_models: CommaList[str] = Field(
        default=[], description="Other models of the provider that tenants' templates may name"
    )
    tenant_parameters: CommaList[str] = Field(
        default=[
            "max_tokens",
            "temperature",
            "top_p",
            "top_k",
            "seed",
            "presence_penalty",
            "frequency_penalty",
            "logit_bias",
            "stop_sequences",
        ],
        description="What tenants' templates may set of its requests; also members of extra_body",
    )

    @field_validator("provider", "base_url", "model", "api_key", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        """An empty variable, as compose files pass those that are not set, sets nothing."""
        return None if isinstance(value, str) and not value.strip() else value


class SecuritySettings(BaseModel):
    """Keys and what may leave the service."""

    secret_key: Credential = Field(
        default=SecretStr(DEV_SECRET_KEY), description="Keys the HMAC of API keys"
    )
    encryption_keys: CommaList[Credential] = Field(
        default=[], description="`id:base64` of 32 bytes each; the first encrypts, all decrypt"
    )
    egress_allow: CommaList[str] = Field(
        default=[], description="CIDRs that invokers may reach beside global addresses"
    )


class Settings(BaseSettings):
    """All that differs between deployments."""

    model_config = SettingsConfigDict(
        env_prefix="STATEWRIGHT_",
        env_nested_delimiter="__",
        extra="ignore",
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    database_url: str = Field(
        default="postgresql://statewright@127.0.0.1:5432/statewright",
        validation_alias=AliasChoices("STATEWRIGHT_DATABASE_URL", "DATABASE_URL"),
    )
    database_direct_url: str | None = Field(
        None, description="PostgreSQL itself, where `database_url` is a transaction pooler's"
    )
    redis_url: str = Field(
        default="redis://127.0.0.1:6379/0",
        validation_alias=AliasChoices("STATEWRIGHT_REDIS_URL", "REDIS_URL"),
    )
    dev: bool = Field(default=False, description="Set by `statewright dev`: default keys allowed")
    redis_prefix: str = Field(
        default="statewright", description="Starts every Redis key, in braces"
    )
    flows_package: str | None = Field(None, description="Python package with flows in code")
    log_level: str = "INFO"
    api: ApiSettings = ApiSettings()
    lists: ListSettings = ListSettings()
    requests: RequestSettings = RequestSettings()
    worker: WorkerSettings = WorkerSettings()
    step: StepSettings = StepSettings()
    limits: LimitSettings = LimitSettings()
    quotas: QuotaSettings = QuotaSettings()
    session: SessionSettings = SessionSettings()
    flow: FlowSettings = FlowSettings()
    revisions: RevisionSettings = RevisionSettings()
    journal: JournalSettings = JournalSettings()
    idempotency: IdempotencySettings = IdempotencySettings()
    llm: LlmSettings = LlmSettings()
    security: SecuritySettings = SecuritySettings()

    @property
    def session_url(self) -> str:
        """The PostgreSQL of what needs a session of its own: migrations and notifications."""
        return self.database_direct_url or self.database_url

    @property
    def redis_namespace(self) -> str:
        """Starts every Redis key; the braces put all of them into one hash slot of a cluster."""
        return f"{{{self.redis_prefix}}}"


@lru_cache
def get_settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()


def environment_with(changes: Mapping[str, str]) -> dict[str, str]:
    """The environment for a child process, which reads its own settings: this one's, changed."""
    return {**os.environ, **changes}  # noqa: TID251 - this module is where it may be read
