"""The context of one verb, which brokers get as their first argument."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlmodel.ext.asyncio.session import AsyncSession

from app.access.caller import Caller
from app.access.crypto import Vault
from app.errors import FieldError
from app.sessions.runtime import Runtime

if TYPE_CHECKING:  # the registry knows the brokers, which know this
    from app.manifests.registry import BrokerRegistry


@dataclass(frozen=True, slots=True)
class Context:
    """One verb of one caller, in one transaction.

    Attributes:
        dry_run: whether everything is rolled back; values that are shown once are left out.
        one_time_values: values that can be shown only now, by name of their resource.
        warnings: findings that refuse nothing, by name of their resource.
    """

    db: AsyncSession
    caller: Caller
    runtime: Runtime
    vault: Vault
    brokers: "BrokerRegistry"
    dry_run: bool = False
    one_time_values: dict[str, str] = field(default_factory=dict, repr=False)
    warnings: dict[str, list[FieldError]] = field(default_factory=dict)
