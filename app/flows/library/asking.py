"""How people and clients are asked about the calls of a turn."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from app.enums import ActionExpiry, ActionKind, Approvers
from app.flows.move import OpenedAction
from app.kit.ids import new_id

DEFAULT_SECONDS = 7 * 24 * 3600.0


class PendingAction(BaseModel):
    """What a call waits for; `on_expiry` is what becomes of it if nobody resolves that in time."""

    id: str
    kind: ActionKind
    on_expiry: ActionExpiry


@dataclass(frozen=True, slots=True)
class Asking:
    """How a thread asks.

    Attributes:
        approvers: who may resolve its actions; None: each of them.
        seconds: how long an action waits.
        on_expiry: what becomes of a call that nobody approved in time.
    """

    approvers: Approvers | None = None
    seconds: float = DEFAULT_SECONDS
    on_expiry: ActionExpiry = ActionExpiry.DENY

    def opened(
        self,
        kind: ActionKind,
        call_id: str,
        name: str,
        arguments: dict[str, Any],
        schema: dict[str, Any],
    ) -> OpenedAction:
        """An action about a call. A call that may have been made cannot be denied any more."""
        approval = kind is ActionKind.APPROVAL
        return OpenedAction(
            id=new_id("act"),
            kind=kind,
            tool_call_id=call_id,
            name=name,
            arguments=arguments,
            answer_schema=schema if approval else None,
            seconds=self.seconds,
            on_expiry=self.on_expiry if approval else ActionExpiry.FAIL,
            approvers=self.approvers,
        )
