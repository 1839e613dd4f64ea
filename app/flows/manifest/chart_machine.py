"""Makes the machine of a manifest's statechart: python-statemachine's builder, our expressions."""

from collections.abc import Callable
from typing import Any, NoReturn, cast

from statemachine.exceptions import InvalidDefinition
from statemachine.factory import StateMachineMetaclass
from statemachine.io.builder import DefinitionBuilder
from statemachine.io.class_factory import create_machine_class_from_definition
from statemachine.io.native import native_dict_to_definition

from app.flows.machine import SessionMachine
from app.flows.manifest.chart_source import library_chart, refusals, timers
from app.flows.manifest.expression import compile_expression
from app.flows.manifest.facade import INPUTS

# The library keeps every class by its name, for ever: all of these share one.
_NAME = "ManifestMachine"

# What the reader of charts has checked itself: its faults have places, and some are warnings.
_OWN_CHECKS: dict[str, Any] = {
    "validate_disconnected_states": False,
    "validate_trap_states": False,
    "validate_final_reachability": False,
}


def machine_of(statechart: dict[str, Any], fields: frozenset[str]) -> type[SessionMachine]:
    """A class of machines that are bound to a `Facade`.

    Args:
        statechart: checked already.
        fields: the fields of the flow's model.

    Raises:
        ExpressionError: a guard or a value is no expression.
        InvalidDefinition: the library refuses the statechart.
    """
    definition = native_dict_to_definition(library_chart(statechart))
    builder = DefinitionBuilder(evaluator=_Evaluator(fields | INPUTS), hooks=_NoHooks())
    states = builder.build_class_kwargs(definition, is_invoked=False)
    chart = create_machine_class_from_definition(_NAME, **states, **_OWN_CHECKS)
    # That function knows no other base than the library's own; ours has safe defaults.
    bases: Any = (SessionMachine, chart)
    own = {"refusals": refusals(statechart), "timers": timers(statechart)}
    namespace = {"__module__": __name__, **own}
    return cast(type[SessionMachine], StateMachineMetaclass(_NAME, bases, namespace))


class _Evaluator:
    """The library's port for expressions; none is ever run as Python."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def compile_value(self, expr: str) -> Callable[..., Any]:
        """Compiles what `assign` computes."""
        evaluate = compile_expression(expr, self._names)
        return lambda *_, machine, **__: evaluate(machine.model)

    def compile_bool(self, expr: str) -> Callable[..., bool]:
        """Compiles a guard."""
        evaluate = compile_expression(expr, self._names)
        return lambda *_, machine, **__: bool(evaluate(machine.model))

    def compile_script(self, content: str) -> NoReturn:  # noqa: ARG002 - the port's signature
        """Refuses code: that of a manifest is never run."""
        raise InvalidDefinition("scripts are not supported")

    def eval_literal(self, content: str) -> NoReturn:  # noqa: ARG002 - the port's signature
        """Refuses what events that are sent would carry."""
        raise InvalidDefinition("sending events is not supported")

    def ensure_external_src_allowed(self, descriptor: str) -> NoReturn:
        """Refuses to load anything from elsewhere."""
        raise InvalidDefinition(f"{descriptor} is not supported")


class _NoHooks:
    """The library's port for what surrounds a machine; a flow has nothing of it."""

    def initial_enter_prefix(self, is_invoked: bool) -> list[Any]:  # noqa: ARG002 - the port's signature
        """Runs nothing before the initial state's own actions."""
        return []

    def definition_kwargs(self, definition: object) -> dict[str, Any]:  # noqa: ARG002 - the port's signature
        """Gives a chart no system variables."""
        return {}

    def make_invoker(self, invoke_def: object) -> NoReturn:  # noqa: ARG002 - the port's signature
        """What a state invokes, its template says."""
        raise InvalidDefinition("`invoke` is not supported")
