"""The fixtures of the API tests, on a server and a PostgreSQL of their own."""
from api.conftest import (  # noqa: F401
    _holder, _postgres, backend, client, conn, pg, postgres_backend, postgres_conn, pytest_runtest_makereport, server,
    sqlite_backend, sqlite_conn)
