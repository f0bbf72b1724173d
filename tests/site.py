"""Looks whether the suite can run on a site's own engines, and says how to give them if not.

Run as a program by `make test-site`: exit code 0 when all is there, else 2 with what is missing.
"""

import os
import sys
from contextlib import closing
from urllib.parse import urlsplit

import psycopg2
import redis

HOW = """\
`make test-site` runs every test on a PostgreSQL (15 or newer) and a Redis (7 or newer) of yours.
EVERYTHING IN THAT DATABASE IS DELETED; its name has to contain `test`.

1. As the superuser of PostgreSQL, once (psql -f, or line by line):

   CREATE ROLE vpass_owner LOGIN PASSWORD 'choose-one';
   CREATE ROLE vpass_app LOGIN PASSWORD 'choose-another';
   ALTER ROLE vpass_app SET statement_timeout = '5s';
   ALTER ROLE vpass_app SET lock_timeout = '2s';
   ALTER ROLE vpass_app SET idle_in_transaction_session_timeout = '10s';
   ALTER ROLE vpass_app SET log_min_messages = 'fatal';
   ALTER ROLE vpass_owner SET log_min_messages = 'fatal';
   GRANT SET ON PARAMETER session_replication_role TO vpass_owner;
   CREATE DATABASE vpass_test OWNER vpass_owner ENCODING 'UTF8' TEMPLATE template0;
   \\connect vpass_test
   REVOKE ALL ON DATABASE vpass_test FROM PUBLIC;
   GRANT CONNECT ON DATABASE vpass_test TO vpass_app;
   ALTER SCHEMA public OWNER TO vpass_owner;
   REVOKE ALL ON SCHEMA public FROM PUBLIC;
   GRANT USAGE ON SCHEMA public TO vpass_app;
   ALTER DEFAULT PRIVILEGES FOR ROLE vpass_owner IN SCHEMA public
       GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO vpass_app;
   ALTER DEFAULT PRIVILEGES FOR ROLE vpass_owner IN SCHEMA public
       GRANT USAGE ON SEQUENCES TO vpass_app;

2. Then, with a Redis that nothing else uses:

   DATABASE_URL=postgresql://vpass_app:choose-another@localhost:5432/vpass_test \\
   DATABASE_OWNER_URL=postgresql://vpass_owner:choose-one@localhost:5432/vpass_test \\
   REDIS_URL=redis://localhost:6379/0 make test-site

Tests of the embedded engines, of kills and of the whole stack start engines of their own all the
same: they need ones that they may kill.
"""

NEEDED = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL")
OLDEST_POSTGRES = 150000
OLDEST_REDIS = 7


def missing() -> list[str]:
    """What stands in the way, in words; nothing when the suite can run."""
    absent = [f"{name} is not set" for name in NEEDED if not os.environ.get(name)]
    if absent:
        return absent
    return [*_problems_of_postgres(), *_problems_of_redis()]


def _problems_of_postgres() -> list[str]:
    app, owner = os.environ["DATABASE_URL"], os.environ["DATABASE_OWNER_URL"]
    name = urlsplit(app).path.lstrip("/")
    found = [] if "test" in name else [f"the database {name!r} has no `test` in its name"]
    if urlsplit(owner).path.lstrip("/") != name:
        found.append("DATABASE_URL and DATABASE_OWNER_URL name different databases")
    for variable, url in (("DATABASE_URL", app), ("DATABASE_OWNER_URL", owner)):
        try:
            with closing(psycopg2.connect(url, connect_timeout=5)) as connection:
                with connection.cursor() as cursor:
                    found += [f"{variable}: {each}" for each in _role_problems(cursor, variable)]
                if connection.server_version < OLDEST_POSTGRES:
                    found.append(f"PostgreSQL {connection.server_version // 10000} is too old")
        except psycopg2.Error as error:
            found.append(f"{variable} does not connect: {str(error).strip()}")
    return found


def _role_problems(cursor: psycopg2.extensions.cursor, variable: str) -> list[str]:
    cursor.execute(
        "SELECT rolsuper, has_schema_privilege('public', 'CREATE'),"
        " has_parameter_privilege('session_replication_role', 'SET')"
        " FROM pg_roles WHERE rolname = current_user"
    )
    row = cursor.fetchone()
    is_super, may_create, may_clean = row if row else (False, False, False)
    if variable == "DATABASE_OWNER_URL":
        may_all = may_create and may_clean
        return [] if may_all else ["has no CREATE on schema public, or GRANT SET is missing"]
    return ["must be neither superuser nor owner of the schema"] if is_super or may_create else []


def _problems_of_redis() -> list[str]:
    try:
        with closing(redis.Redis.from_url(os.environ["REDIS_URL"], socket_timeout=5)) as client:
            version = str(client.info("server")["redis_version"])
    except (redis.RedisError, ValueError, OSError) as error:
        return [f"REDIS_URL does not connect: {error}"]
    is_old = int(version.partition(".")[0]) < OLDEST_REDIS
    return [f"Redis {version} is older than {OLDEST_REDIS}"] if is_old else []


def main() -> int:
    """Says what is missing and how to make it."""
    found = missing()
    if not found:
        return 0
    print(HOW)
    print("Not yet:", *found, sep="\n  ")
    return 2


if __name__ == "__main__":
    sys.exit(main())
