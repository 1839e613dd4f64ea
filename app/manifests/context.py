"""What a broker is given to carry out one verb."""

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
        dry_run: nothing is kept; what is shown only once is not shown.
        one_time_values: what was made and cannot be shown later, by name.
        warnings: what a check found that refuses nothing, by name.
    """

    db: AsyncSession
    caller: Caller
    runtime: Runtime
    vault: Vault
    brokers: "BrokerRegistry"
    dry_run: bool = False
    one_time_values: dict[str, str] = field(default_factory=dict, repr=False)
    warnings: dict[str, list[FieldError]] = field(default_factory=dict)
