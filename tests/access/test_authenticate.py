"""From an Authorization header to the caller."""

import pytest

from app.access.authenticate import authenticate
from app.access.caller import Caller, KeyScope
from app.access.key_cache import KeyCache
from app.access.keys import generate_key
from app.access.service import CreatedKey, create_key
from app.db.engine import Database
from app.errors import UnauthorizedError
from app.settings import Settings


@pytest.fixture
async def key(database: Database, settings: Settings) -> CreatedKey:
    async with database.transaction() as db:
        return await create_key(
            db,
            settings,
            org="Acme",
            user="ann@acme.example",
            scopes=[KeyScope.READ, KeyScope.WRITE],
        )


@pytest.fixture
def secret_key(settings: Settings) -> str:
    return settings.security.secret_key.get_secret_value()


async def refused(database: Database, secret_key: str, authorization: str | None) -> str:
    with pytest.raises(UnauthorizedError) as caught:
        await authenticate(KeyCache(database.pool), secret_key, authorization)
    return caught.value.detail


@pytest.mark.parametrize("scheme", ["Bearer", "Token", "bearer", "TOKEN", "  Bearer ", "Token  "])
async def test_both_schemes_in_any_case(
    database: Database, secret_key: str, key: CreatedKey, scheme: str
) -> None:
    caller = await authenticate(KeyCache(database.pool), secret_key, f"{scheme} {key.api_key}")

    assert caller == Caller(
        org_id=key.org_id,
        user_id=key.user_id,
        email="ann@acme.example",
        key_id=key.key_id,
        scopes=frozenset({KeyScope.READ, KeyScope.WRITE}),
    )


async def test_every_refusal_reads_the_same(
    database: Database, secret_key: str, key: CreatedKey
) -> None:
    _, unknown = generate_key()
    answers = {
        await refused(database, secret_key, header)
        for header in (
            None,
            "",
            "Bearer",
            "Bearer ",
            key.api_key,
            f"Basic {key.api_key}",
            f"Bearer {key.api_key} x",
            f"Bearer {key.api_key}x",
            f"Bearer {unknown}",
            "Bearer \xff",
        )
    }
    answers.add(await refused(database, "another secret", f"Bearer {key.api_key}"))

    assert len(answers) == 1


async def test_the_id_of_a_key_with_another_random_part_is_refused(
    database: Database, secret_key: str, key: CreatedKey
) -> None:
    """As someone would try who knows ids and how check digits are made."""
    other_id, other_key = generate_key()
    await database.pool.execute("UPDATE api_key SET id = $1", other_id)

    await refused(database, secret_key, f"Bearer {other_key}")


@pytest.mark.parametrize("column", ["revoked_at", "expires_at"])
async def test_revoked_and_expired_keys_are_refused_at_once(
    database: Database, secret_key: str, key: CreatedKey, column: str
) -> None:
    await authenticate(KeyCache(database.pool), secret_key, f"Bearer {key.api_key}")
    await database.pool.execute(f"UPDATE api_key SET {column} = clock_timestamp()")  # noqa: S608 - a constant

    await refused(database, secret_key, f"Bearer {key.api_key}")


async def test_a_key_lives_until_it_expires(
    database: Database, secret_key: str, key: CreatedKey
) -> None:
    later = "UPDATE api_key SET expires_at = clock_timestamp() + interval '1 hour'"
    await database.pool.execute(later)

    assert (await authenticate(KeyCache(database.pool), secret_key, f"Bearer {key.api_key}")).org_id
