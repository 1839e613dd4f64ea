"""The forms of a statement: each has only the parts that the change at hand writes."""

from collections.abc import Mapping
from itertools import product, starmap
from typing import NamedTuple, Self

from app.sessions.store.change import Change
from app.sessions.store.sql.writes_sql import (
    AGENT_WRITES,
    EVENT_WRITES,
    INVOCATION_WRITES,
    NEW_STEPS,
    VALUE_WRITES,
    WRITES,
)

# What the statechart keeps; the times of its timers are made here, by the database's clock.
_NEW_CHART = """
, new_chart AS (
  SELECT p.due, nullif(jsonb_strip_nulls(jsonb_build_object(
    'history', i.chart->'history', 'timers', p.timers)), '{}') AS kept
  FROM i CROSS JOIN LATERAL (
    SELECT min(d.due) AS due, jsonb_agg(jsonb_build_object('id', t.id, 'state', t.state,
      'event', t.event, 'input', t.input, 'send_id', t.send_id, 'due', d.due)
      ORDER BY d.due, t.id) AS timers
    FROM jsonb_to_recordset(i.chart->'timers') AS t(id text, state text, event text, input text,
      send_id text, due timestamptz, seconds float)
    CROSS JOIN LATERAL (
      SELECT coalesce(t.due, clock_timestamp() + t.seconds * interval '1 second') AS due) d) p
)"""
# By the names that they have in the statements.
_CHART_PARTS = {
    "new_chart": _NEW_CHART,
    "set_chart": """, chart = (SELECT kept FROM new_chart),
    timer_due = (SELECT due FROM new_chart)""",
    "chart_columns": ", chart, timer_due",
    "chart_values": ", (SELECT kept FROM new_chart), (SELECT due FROM new_chart)",
}


class Form(NamedTuple):
    """What a statement writes that most changes have not: each part costs even where it is empty.

    Attributes:
        of_agent: what only turns of agents write (`AGENT_WRITES`).
        with_chart: what the session's statechart keeps, or kept before.
        with_values: values of the secondary store.
        with_event: what a client sent.
        starts: an invocation and its steps.
    """

    of_agent: bool
    with_chart: bool
    with_values: bool
    with_event: bool
    starts: bool

    @classmethod
    def of(cls, change: Change) -> Self:
        """The form that writes a change."""
        return cls(
            of_agent=change.is_of_agent,
            with_chart=change.writes_chart,
            with_values=bool(change.stored or change.deleted),
            with_event=change.client_event is not None,
            starts=change.invocation is not None or bool(change.steps),
        )

    @property
    def writes(self) -> str:
        """What it writes beside the session's row."""
        parts = {
            VALUE_WRITES: self.with_values,
            EVENT_WRITES: self.with_event,
            INVOCATION_WRITES + NEW_STEPS.format(guard="changed"): self.starts,
            AGENT_WRITES: self.of_agent,
        }
        return WRITES + "".join(part for part, is_written in parts.items() if is_written)


# A statement in each of its forms.
Forms = Mapping[Form, str]


def forms_of(statement: str) -> Forms:
    """The forms of a statement that names in braces what they differ in."""
    return {
        form: statement.format(
            writes=form.writes,
            **{name: part if form.with_chart else "" for name, part in _CHART_PARTS.items()},
        )
        for form in starmap(Form, product((False, True), repeat=len(Form._fields)))
    }
