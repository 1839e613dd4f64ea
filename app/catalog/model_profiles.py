"""Model profiles: what a thread or an agent may name to answer it."""

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.db.engine import Database
from app.db.models import Resource
from app.errors import BadRequestError
from app.invokers.llm import BUILT_IN_PROFILES, is_free
from app.settings import LlmSettings

_MAX_NAMED = 50  # that an error lists


async def check_model_profile(database: Database, org_id: str, profile: str | None) -> None:
    """Refuses a profile that is neither built in nor a Provider of the org.

    Raises:
        BadRequestError: the text lists those that there are.
    """
    if profile is None or profile in BUILT_IN_PROFILES:
        return
    query = (
        select(Resource.name)
        .where(Resource.org_id == org_id, Resource.kind == "Provider")
        .order_by(col(Resource.name))
    )
    async with database.transaction() as db:
        names = (await db.exec(query)).all()
    if profile in names:
        return
    known = [*BUILT_IN_PROFILES, *names][:_MAX_NAMED]
    detail = f"There is no model profile {profile!r}. There are: {', '.join(known)}."
    raise BadRequestError(detail, errors=[{"loc": ["body", "model_profile"], "msg": detail}])


async def check_prices(
    db: AsyncSession, org_id: str, profile: str | None, llm: LlmSettings
) -> None:
    """Refuses a budget that bounds the cost where what answers has no prices, but is not free.

    Raises:
        BadRequestError: it has none; the text says where they are put.
    """
    profile = profile or "default"
    if is_free(BUILT_IN_PROFILES.get(profile, profile), llm):
        return
    query = select(Resource.spec).where(
        Resource.org_id == org_id, Resource.kind == "Provider", Resource.name == profile
    )
    spec = (await db.exec(query)).one_or_none()
    if spec is None or "prices" not in spec:
        detail = f"The budget bounds the cost, and {_no_prices(profile)}"
        raise BadRequestError(detail, errors=[{"loc": ["budget"], "msg": detail}])


def _no_prices(profile: str) -> str:
    if profile in BUILT_IN_PROFILES:
        return (
            f"model profile {profile!r} has no prices: name a Provider that has, in its manifest."
        )
    return f"Provider {profile!r} has no prices: put them into `spec.prices` of its manifest."
