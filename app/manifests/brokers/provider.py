"""Kind Provider: a model provider that templates name as their invoker."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, ClassVar, TypeAlias

from pydantic import Field, field_validator
from typing_extensions import override

from app.agents.prices import agents_in_need_of_prices
from app.invokers.chat_models.config import LlmParameters
from app.invokers.llm import provider_names
from app.invokers.pool import built_in_invokers
from app.manifests.brokers.bases.connection import ConnectionBroker
from app.manifests.brokers.bases.resource import spec_field
from app.manifests.brokers.bases.stored import COLUMNS
from app.manifests.context import Context
from app.manifests.model.envelope import Envelope, Manifest, bad_manifest
from app.manifests.model.field_types import ModelUrl, SecretName
from app.manifests.model.metadata import ManifestModel
from app.manifests.model.reference import Reference
from app.manifests.model.table import Column

_MAX_NAMED = 20  # that an error lists


class ProviderParameters(LlmParameters, ManifestModel):
    """What each request to the model sets; the names are the same for every provider."""


_Price: TypeAlias = Annotated[
    Decimal, Field(ge=0, max_digits=18, decimal_places=9, examples=["0.15"])
]


class ProviderPrices(ManifestModel):
    """What a million tokens cost; what a request cost is fixed when it is counted."""

    input: _Price = Field(description="A million tokens that are sent.")
    output: _Price = Field(description="A million tokens that are generated.")
    cached: _Price | None = Field(
        None,
        description="A million of those sent that the provider has in its cache; left out: as "
        "the others.",
    )
    currency: str = Field("USD", description="Its code.", pattern="^[A-Z]{3}$")


class ProviderSpec(ManifestModel):
    """How a model is reached."""

    type: str = Field(description="Which API it speaks.", examples=["openai"])
    base_url: ModelUrl | None = Field(
        None,
        description="Left out: the provider's own. A query goes out with each request; with Azure's"
        " `api-version` in it, so does the key as `api-key`.",
    )
    model: str = Field(description="Which model answers.", min_length=1, max_length=200)
    api_key: SecretName | None = Field(None, description="Name of the Secret with the key.")
    parameters: ProviderParameters = ProviderParameters()
    prices: ProviderPrices | None = Field(None, description="With them, usage has costs.")
    stream: bool = Field(
        default=True, description="false: ask for whole answers, as some servers cannot stream."
    )

    @field_validator("type")
    @classmethod
    def _check_type(cls, type_: str) -> str:
        if type_ not in provider_names():
            raise ValueError(
                f"one of {', '.join(provider_names())}; a server with an OpenAI-compatible "
                "endpoint is openai with a baseUrl"
            )
        return type_


class ProviderBroker(ConnectionBroker[ProviderSpec]):
    """A template's `invoke: NAME` sends to the provider of that name."""

    kind: ClassVar[str] = "Provider"
    id_prefix: ClassVar[str] = "prv"
    spec_model = ProviderSpec
    refers_to: ClassVar[frozenset[str]] = frozenset({"Secret"})
    columns: ClassVar[Sequence[Column]] = (
        *COLUMNS,
        spec_field("type"),
        spec_field("model"),
        spec_field("baseUrl"),
    )
    example: ClassVar[str] = """\
apiVersion: statewright/v1
kind: Provider
metadata:
  name: example-provider
  description: a model behind an OpenAI-compatible endpoint
spec:
  type: openai
  baseUrl: https://models.example.com/v1
  model: small-model
  parameters:
    temperature: 0.2
    maxTokens: 500
  prices:
    input: "0.15"
    output: "0.60"
    cached: "0.075"
"""

    @override
    def parse(self, envelope: Envelope) -> Manifest[ProviderSpec]:
        manifest = super().parse(envelope)
        if manifest.name in built_in_invokers():
            msg = "this is the name of a built-in invoker"
            raise bad_manifest([{"loc": ["metadata", "name"], "msg": msg}])
        return manifest

    @override
    async def check_applied(self, context: Context, manifest: Manifest[ProviderSpec]) -> None:
        await super().check_applied(context, manifest)
        if manifest.spec.prices is not None:
            return
        org_id, name = context.caller.org_id, manifest.name
        if agents := await agents_in_need_of_prices(context.db, org_id, name):
            named = ", ".join(agents[:_MAX_NAMED])
            msg = f"the budgets of agents bound the cost, which needs prices: {named}"
            raise bad_manifest([{"loc": ["spec", "prices"], "msg": msg}])

    @override
    def references(self, spec: dict[str, Any]) -> list[Reference]:
        name = spec.get("apiKey")
        return [Reference("Secret", name, ("apiKey",))] if name else []
