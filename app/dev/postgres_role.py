"""The role by which the service uses its embedded PostgreSQL: it owns its database, and no more."""

import asyncpg

ROLE = "service"
DATABASE = "statewright"

# What the superuser made in a data directory of an earlier release, where the service was that.
_TAKE_OVER = f"""
DO $$
DECLARE one text;
BEGIN
  FOR one IN
    SELECT 'TABLE ' || oid::regclass FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
      AND relowner = current_user::regrole
    UNION ALL
    SELECT 'ROUTINE ' || p.oid::regprocedure FROM pg_proc p
    WHERE pronamespace = 'public'::regnamespace AND proowner = current_user::regrole
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
  LOOP
    EXECUTE format('ALTER %s OWNER TO {ROLE}', one);
  END LOOP;
END $$"""  # noqa: S608 - constants of this module


async def make_database(superuser: asyncpg.Connection, password: str) -> None:
    """Makes the role, with this password, and its database, where they are not there.

    Args:
        superuser: of the server.
        password: of the role.
    """
    if not await superuser.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", ROLE):
        await superuser.execute(f"CREATE ROLE {ROLE} LOGIN")
    quoted = await superuser.fetchval("SELECT quote_literal($1::text)", password)
    await superuser.execute(f"ALTER ROLE {ROLE} PASSWORD {quoted}")
    owner = await superuser.fetchval(
        "SELECT datdba::regrole::text FROM pg_database WHERE datname = $1", DATABASE
    )
    if owner is None:
        await superuser.execute(f"CREATE DATABASE {DATABASE} OWNER {ROLE}")
    elif owner != ROLE:
        await superuser.execute(f"ALTER DATABASE {DATABASE} OWNER TO {ROLE}")


async def take_over(superuser: asyncpg.Connection) -> None:
    """Gives the role what is in its database, to which the superuser is connected."""
    await superuser.execute(_TAKE_OVER)
