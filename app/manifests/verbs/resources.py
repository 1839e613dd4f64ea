"""Which kinds there are, how they are spelled, and which verbs each has."""

from typing import Any

from app.manifests.broker import Broker
from app.manifests.registry import AnyBroker, BrokerRegistry

_ALWAYS = ("describe", "diff", "get", "logs", "explain")
_OWN = ("deploy", "undeploy", "retry", "prompt", "history")  # those that a kind must define


def api_resources(brokers: BrokerRegistry) -> list[dict[str, Any]]:
    """One item for each kind: what others name comes before what names it.

    Returns:
        `{name, kind, otherNames, verbs, order}` each; documents of a lower `order` can be applied
        before those of a higher one.
    """
    items = [
        {
            "name": f"{broker.kind.lower()}s",
            "kind": broker.kind,
            "otherNames": list(broker.other_names),
            "verbs": _verbs(broker),
            "order": brokers.rank(broker),
        }
        for broker in brokers
    ]
    return sorted(items, key=lambda item: (item["order"], item["name"]))


def _verbs(broker: AnyBroker) -> list[str]:
    own = [verb for verb in _OWN if getattr(type(broker), verb) is not getattr(Broker, verb)]
    changes = [verb for verb in ("apply", "delete") if verb not in broker.refused_verbs]
    shared = [verb for verb in _ALWAYS if verb != "diff" or "apply" in changes]
    return sorted([*changes, *shared, *own])
