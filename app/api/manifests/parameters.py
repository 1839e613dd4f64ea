"""What the verbs take: their parameters, and the declarations of their bodies."""

from typing import Annotated

from fastapi import Depends, Path, Query

from app.api.deps import Keyed
from app.api.http.body import max_body
from app.errors import BadRequestError
from app.manifests.model.selector import MAX_SELECTOR
from app.manifests.registry import all_brokers
from app.manifests.text.limits import MAX_BYTES
from app.manifests.verbs.runner import ChangeMode

Kind = Annotated[
    str, Path(description="A kind in any case, singular or plural.", examples=["agents"])
]


async def _name(
    kind: Kind,
    name: Annotated[str, Query(description="Name of the resource.", max_length=200)] = "",
    username: Annotated[
        str, Query(description="Of kind User, another way to give the name.", max_length=200)
    ] = "",
) -> str:
    """The name of the resource that a verb is about; empty if none was given."""
    if not username:
        return name.strip(" ")
    if all_brokers().kind(kind) != "User":
        msg = "only users have one; give the name"
    elif name:
        msg = "it stands for the name, which is there too"
    else:
        return username.strip(" ")
    raise BadRequestError(f"username: {msg}.", errors=[{"loc": ["query", "username"], "msg": msg}])


Name = Annotated[str, Depends(_name)]

Selector = Annotated[
    str | None,
    Query(
        description="Only resources with such labels, as Kubernetes selects them.",
        examples=["env=prod,tier in (a,b),!old"],
        max_length=MAX_SELECTOR,
    ),
]
PruneKinds = Annotated[
    list[str],
    Query(
        description="Delete resources of this kind that no document declares, too. May be given"
        " more than once; `selector` narrows it.",
        max_length=50,
    ),
]


async def _mode(
    keyed: Keyed,
    dry_run: Annotated[bool, Query(description="Check and answer, and change nothing.")] = False,
) -> ChangeMode:
    return ChangeMode(dry_run, keyed)


Mode = Annotated[ChangeMode, Depends(_mode)]

_EXAMPLE = """\
apiVersion: statewright/v1
kind: Dataset
metadata:
  name: example
spec: {}
"""
MANIFEST_BODY = max_body(
    MAX_BYTES,
    requestBody={
        "required": True,
        "description": "Documents as YAML or JSON, whatever the content type says; 256 KB at most.",
        "content": {
            "application/yaml": {"schema": {"type": "string"}, "example": _EXAMPLE},
            "application/json": {"schema": {"$ref": "#/components/schemas/ManifestDocuments"}},
        },
    },
)
PROMPT_BODY = max_body(
    MAX_BYTES,
    requestBody={
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/PromptRequest"}}},
    },
)
