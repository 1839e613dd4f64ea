"""What PostgreSQL itself keeps of the run: every change of a step, every event, every message.

Triggers write it in the transaction that they watch, into tables that outlive the sessions.
"""

import json
from dataclasses import dataclass
from typing import Any, TypeVar

from tests.faults.system import System

_SETUP = """
CREATE SCHEMA chaos;
CREATE TABLE chaos.step (
  seq bigint GENERATED ALWAYS AS IDENTITY, at float8, step_id text, session_id text, kind text,
  path text, before text, status text, attempt int, failures int, losses int, failed_before int,
  lease float8, max_attempts int, result text, error text);
CREATE TABLE chaos.event (at float8, id text, session_id text, name text, input text, key text);
CREATE TABLE chaos.message (at float8, session_id text, idx bigint, role text, status text,
  step_id text, content text);
CREATE TABLE chaos.transition (at float8, session_id text, version int, cause text, event text,
  target text, error text);

CREATE FUNCTION chaos.now() RETURNS float8 LANGUAGE sql AS
  'SELECT extract(epoch FROM clock_timestamp())::float8';
CREATE FUNCTION chaos.note_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO chaos.step (at, step_id, session_id, kind, path, before, status, attempt, failures,
    losses, failed_before, lease, max_attempts, result, error)
  VALUES (chaos.now(), NEW.id, NEW.session_id, NEW.kind, NEW.path, OLD.status, NEW.status,
    NEW.attempt, NEW.failures, NEW.losses, OLD.failures, extract(epoch FROM OLD.lease_until),
    NEW.max_attempts, NEW.result, NEW.error);
  RETURN NULL;
END $$;
CREATE FUNCTION chaos.note_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO chaos.event VALUES (chaos.now(), NEW.id, NEW.session_id, NEW.name, NEW.input,
    NEW.idempotency_key);
  RETURN NULL;
END $$;
CREATE FUNCTION chaos.note_message() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO chaos.message VALUES (chaos.now(), NEW.session_id, NEW.idx, NEW.role, NEW.status,
    NEW.step_id, NEW.content::text);
  RETURN NULL;
END $$;
CREATE FUNCTION chaos.note_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO chaos.transition VALUES (chaos.now(), NEW.session_id, NEW.version, NEW.cause,
    NEW.event, NEW.target, NEW.error);
  RETURN NULL;
END $$;
CREATE TRIGGER chaos_new AFTER INSERT ON step FOR EACH ROW EXECUTE FUNCTION chaos.note_step();
CREATE TRIGGER chaos_change AFTER UPDATE OF status ON step FOR EACH ROW
  EXECUTE FUNCTION chaos.note_step();
CREATE TRIGGER chaos_new AFTER INSERT ON event FOR EACH ROW EXECUTE FUNCTION chaos.note_event();
CREATE TRIGGER chaos_new AFTER INSERT ON message FOR EACH ROW EXECUTE FUNCTION chaos.note_message();
CREATE TRIGGER chaos_new AFTER INSERT ON transition FOR EACH ROW
  EXECUTE FUNCTION chaos.note_transition();
"""


@dataclass(frozen=True, slots=True)
class StepChange:
    """A change of a step's status, as its row was after it.

    Attributes:
        at: seconds of the wall clock.
        before: the status that it had; None for a new step.
        failed_before: its count of failures before.
        lease: until when it was claimed before, if it was.
    """

    seq: int
    at: float
    step_id: str
    session_id: str
    kind: str
    path: str
    before: str | None
    status: str
    attempt: int
    failures: int
    losses: int
    failed_before: int | None
    lease: float | None
    max_attempts: int
    result: str | None
    error: str | None

    @property
    def answer(self) -> str | None:
        """The text that the result holds; that of a thread's step is an answer with its calls.

        Of a tool's call it is what the tool gave back; None where it did not work.
        """
        if not self.session_id.startswith("ath_"):
            return self.result
        result = self.result or ""
        if result.startswith('{"text":'):
            return str(json.loads(result)["text"])
        if result.startswith('{"tool_use_id":'):
            outcome = json.loads(result)
            return str(outcome["payload"]) if outcome["status"] == "success" else None
        return self.result

    @property
    def is_claim(self) -> bool:
        return self.status == "running"

    @property
    def is_takeover(self) -> bool:
        return self.status == "running" and self.before == "running"

    @property
    def new_failures(self) -> int:
        return max(0, self.failures - (self.failed_before or 0))


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event that a session took."""

    at: float
    id: str
    session_id: str
    name: str
    input: str
    key: str | None


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message of a dialogue; its content is JSON."""

    at: float
    session_id: str
    idx: int
    role: str
    status: str
    step_id: str | None
    content: str


@dataclass(frozen=True, slots=True)
class StoredTransition:
    """A change of a session."""

    at: float
    session_id: str
    version: int
    cause: str
    event: str
    target: str
    error: str | None


@dataclass(frozen=True, slots=True)
class Audit:
    """All that was kept, each in the order in which it happened."""

    steps: list[StepChange]
    events: list[StoredEvent]
    messages: list[StoredMessage]
    transitions: list[StoredTransition]


Row = TypeVar("Row", StepChange, StoredEvent, StoredMessage, StoredTransition)


async def set_up(system: System) -> None:
    """Make the tables and triggers."""
    await system.query_script(_SETUP)


async def tear_down(system: System) -> None:
    """Drop them, and what was kept."""
    await system.query_script("DROP SCHEMA chaos CASCADE")


async def read(system: System) -> Audit:
    """What was kept until now."""
    return Audit(
        steps=await _rows(system, "step", StepChange, "seq"),
        events=await _rows(system, "event", StoredEvent, "at"),
        messages=await _rows(system, "message", StoredMessage, "session_id, idx"),
        transitions=await _rows(system, "transition", StoredTransition, "session_id, version"),
    )


async def _rows(system: System, table: str, row: type[Row], order: str) -> list[Row]:
    columns = ", ".join(row.__dataclass_fields__)
    found: list[Any] = await system.query(f"SELECT {columns} FROM chaos.{table} ORDER BY {order}")
    return [row(**dict(values)) for values in found]
