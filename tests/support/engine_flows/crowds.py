"""Flows that start many steps, as many as the client says."""

from app.flows import Invoke, Map, Queue
from tests.support.engine_flows.composites import Base, machine_for


class Given(Base):
    """A step for each item of the JSON that comes with the event."""

    machine = machine_for(Map("parsed_actor_input", Invoke("{{ map_value }}", "verbatim")))


class Slow(Base):
    """The same, where each step takes a while."""

    machine = machine_for(
        Map("parsed_actor_input", Invoke("{{ map_value }}", "echo", {"delay_seconds": 0.02}))
    )


class Unserved(Base):
    """The same, on a queue that nobody serves."""

    machine = machine_for(
        Map("parsed_actor_input", Queue("nobody", Invoke("{{ map_value }}", "verbatim")))
    )
