"""Fixtures of the black-box tests: one server and one PostgreSQL for the run, a fresh database for each test."""
import itertools
import shutil
import tempfile
import types

import pytest

from support.client import Client
from support.pg import Postgres
from support.server import Server

_numbers = itertools.count(1)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    setattr(item, f"report_{call.when}", outcome.get_result())


class _Holder:
    """The run's server; started when first asked for, and again after it has died."""

    def __init__(self):
        self.server = None

    def get(self):
        if self.server is not None and not self.server.alive:
            self.server = None
        if self.server is None:
            self.server = Server()
        return self.server


@pytest.fixture(scope="session")
def _holder():
    holder = _Holder()
    yield holder
    if holder.server is not None:
        holder.server.stop()


@pytest.fixture
def server(request, _holder):
    """The running ferrod of this run, with default settings. Its death fails the test in which it happens."""
    running = _holder.get()
    before = len(running.log())
    yield running
    report = getattr(request.node, "report_call", None)
    if not running.alive:
        pytest.fail(f"ferrod died with {running.process.wait()}:\n{running.log()[-8000:]}", pytrace=False)
    if report is not None and report.failed:
        print(f"ferrod's log during this test:\n{running.log()[before:][-6000:]}")


@pytest.fixture
def strict_library(server):
    return server.strict_library()


@pytest.fixture
def client(server):
    """A client of the running server, on a TCP connection of its own."""
    with Client(server.port) as c:
        yield c


@pytest.fixture(scope="session")
def _postgres():
    postgres = Postgres()
    yield postgres
    postgres.destroy()


@pytest.fixture
def pg(_postgres):
    """The run's PostgreSQL; a test that stopped or killed it finds it running again afterwards."""
    if _postgres.process is None:
        _postgres.start()
    yield _postgres
    if _postgres.process is None:
        _postgres.start()


@pytest.fixture
def sqlite_backend():
    """A fresh SQLite file: .name, .url, .path."""
    directory = tempfile.mkdtemp(prefix="ferrod-sqlite-")
    path = f"{directory}/test.db"
    yield types.SimpleNamespace(name="sqlite", url=f"sqlite:{path}?mode=rwc", path=path)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def postgres_backend(pg):
    """A fresh PostgreSQL database: .name, .url, .database, .pg."""
    database = pg.create_database()
    yield types.SimpleNamespace(name="postgres", url=pg.url(database), database=database, pg=pg)
    if pg.process is None:
        pg.start()
    pg.drop_database(database)


@pytest.fixture(params=["sqlite", "postgres"])
def backend(request):
    """A fresh database of each kind in turn."""
    return request.getfixturevalue(f"{request.param}_backend")


def _connected(server, backend):
    name = f"c{next(_numbers)}"
    with Client(server.port) as client:
        client.post("/v1/connections", {"name": name, "url": backend.url}).expect(201)
        yield types.SimpleNamespace(name=name, backend=backend, client=client, using={"using": name})
        if server.alive:
            client.close()
            client.delete(f"/v1/connections/{name}?force=true")


@pytest.fixture
def conn(server, backend):
    """The fresh database, connected under a unique name: .name, .backend, .client; .using are query parameters."""
    yield from _connected(server, backend)


@pytest.fixture
def sqlite_conn(server, sqlite_backend):
    """conn, for tests of SQLite alone."""
    yield from _connected(server, sqlite_backend)


@pytest.fixture
def postgres_conn(server, postgres_backend):
    """conn, for tests of PostgreSQL alone."""
    yield from _connected(server, postgres_backend)
