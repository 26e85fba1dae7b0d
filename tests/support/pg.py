"""A PostgreSQL server of the tests' own: a fresh cluster in a scratch directory, on a free port of 127.0.0.1.

No cluster of the system is ever touched. Connections as `ferrod` need no password; the role `guarded` has the
password `open sesame` and is the one to be refused with. The server's time zone is not UTC on purpose.
"""
import contextlib
import glob
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid

from . import libpq
from .process import die_with_parent, free_port, wait_for

SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_connections": "300",
    "max_prepared_transactions": "10",
    "shared_buffers": "64MB",
    "autovacuum": "off",
    "timezone": "America/New_York",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "listen_addresses": "127.0.0.1",
}
PSQL_ENV = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
HBA = """\
local all all trust
host all guarded 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
"""

# leaves a database as CREATE DATABASE makes it, a crash right after it included
EMPTY = """
SET synchronous_commit = on;
DO $$
DECLARE
    name text;
BEGIN
    PERFORM pg_terminate_backend(pid, 10000) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid();
    FOR name IN SELECT extname FROM pg_extension WHERE extname <> 'plpgsql' LOOP
        EXECUTE format('DROP EXTENSION %I CASCADE', name);
    END LOOP;
    FOR name IN SELECT format('EVENT TRIGGER %I', evtname) FROM pg_event_trigger
            UNION ALL SELECT format('FOREIGN DATA WRAPPER %I', fdwname) FROM pg_foreign_data_wrapper
            UNION ALL SELECT format('PUBLICATION %I', pubname) FROM pg_publication
            UNION ALL SELECT format('CAST (%s AS %s)', castsource::regtype, casttarget::regtype) FROM pg_cast WHERE oid >= 16384
            UNION ALL SELECT format('LANGUAGE %I', lanname) FROM pg_language WHERE oid >= 16384 AND lanname <> 'plpgsql' LOOP
        EXECUTE 'DROP ' || name || ' CASCADE';
    END LOOP;
    PERFORM lo_unlink(oid) FROM pg_largeobject_metadata;
    FOR name IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', name);
    END LOOP;
    EXECUTE format('ALTER DATABASE %I RESET ALL', current_database());
    CREATE SCHEMA public AUTHORIZATION pg_database_owner;
    GRANT USAGE ON SCHEMA public TO PUBLIC;
END $$
"""


def binaries():
    """The directory with initdb and postgres: the newest installed version."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda p: float(p.split("/")[4]))
    if found:
        return pathlib.Path(found[-1]).parent
    which = shutil.which("initdb")
    if which is None:
        raise RuntimeError("no PostgreSQL server is installed: make deps")
    return pathlib.Path(which).resolve().parent


class Postgres:
    def __init__(self, **settings):
        self.settings = SETTINGS | settings
        self.bin = binaries()
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ferrod-pg-"))
        self.dir.chmod(0o755)
        self.data = self.dir / "data"
        self.log = self.dir / "postgres.log"
        self.process = None
        self.port = None
        self.spare = []    # empty databases
        # postgres refuses to run as root: then it runs as its own user, or as nobody
        self.user = {}
        if os.getuid() == 0:
            names = [entry.pw_name for entry in pwd.getpwall()]
            account = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
            self.user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            os.chown(self.dir, account.pw_uid, account.pw_gid)
        self._run("initdb", "-D", str(self.data), "-U", "ferrod", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8",
                  "--no-sync", "--no-instructions")
        (self.data / "pg_hba.conf").write_text(HBA)
        self.start()
        self.psql("CREATE ROLE guarded LOGIN PASSWORD 'open sesame'")

    def _run(self, program, *args, **kwargs):
        return subprocess.run([str(self.bin / program), *args], cwd=self.dir, check=True, capture_output=True, text=True,
                              env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(self.dir)},
                              **self.user, **kwargs)

    # ---- life and death ----

    def start(self):
        """Starts (again, on the same port) and returns when it takes connections."""
        assert self.process is None, "already running"
        for attempt in range(5):
            port = self.port or free_port()
            command = [str(self.bin / "postgres"), "-D", str(self.data), "-p", str(port), "-k", str(self.dir)]
            for key, value in self.settings.items():
                command += ["-c", f"{key}={value}"]
            with open(self.log, "ab") as log:
                self.process = subprocess.Popen(
                    command, cwd=self.dir, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}, preexec_fn=die_with_parent(signal.SIGQUIT),
                    start_new_session=True, **self.user)
            wait_for(lambda: self.process.poll() is not None or self._ready(port), 60, "PostgreSQL's start")
            if self.process.poll() is None:
                self.port = port
                return
            self.process = None
            if self.port is not None and attempt == 4:
                break
        raise RuntimeError(f"PostgreSQL does not start:\n{self.log.read_text()[-2000:]}")

    def _ready(self, port):
        check = subprocess.run([str(self.bin / "pg_isready"), "-q", "-h", str(self.dir), "-p", str(port)], check=False)
        return check.returncode == 0

    def _pids(self):
        """The postmaster and its children."""
        pid = self.process.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid] + [int(child) for child in children]

    def _signal(self, pids, sig):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sig)

    def stop(self):
        """A polite (fast) shutdown."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(30)
        self.process = None

    def kill(self):
        """As if the machine had lost power: every process of it gets SIGKILL at once."""
        pids = self._pids()
        self._signal(pids, signal.SIGKILL)
        self.process.wait(30)
        wait_for(lambda: not any(self._alive(pid) for pid in pids[1:]), 30, "the end of PostgreSQL's processes")
        self.process = None

    @staticmethod
    def _alive(pid):
        try:
            # a zombie that init has not reaped yet is dead enough
            return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
        except (FileNotFoundError, ProcessLookupError):
            return False

    def restart(self):
        if self.process is not None:
            self.stop()
        self.start()

    @contextlib.contextmanager
    def frozen(self):
        """Within it the server neither answers nor refuses: SIGSTOP for every process of it."""
        pids = self._pids()
        self._signal(pids, signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(pids, signal.SIGCONT)

    def destroy(self):
        """Nobody needs what a polite end would write first."""
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(30)
            self.process = None
        shutil.rmtree(self.dir, ignore_errors=True)

    # ---- use ----

    def _psql_command(self, database):
        return [str(self.bin / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", str(self.dir), "-p",
                str(self.port), "-U", "ferrod", "-d", database]

    def _ask(self, sql, database):
        """May raise libpq.Refused."""
        parameters = {"host": self.dir, "port": self.port, "user": "ferrod", "dbname": database, "application_name": "psql", "options": "",
                      "client_encoding": "UTF8"}
        quoted = (str(value).replace("\\", "\\\\").replace("'", "\\'") for value in parameters.values())
        return libpq.ask(" ".join(f"{name}='{value}'" for name, value in zip(parameters, quoted)), sql)

    @contextlib.contextmanager
    def asking(self, database):
        """Yields what `psql` does, on one session: a process for each question would cost more than the answers."""
        process = subprocess.Popen(self._psql_command(database), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, cwd="/", env=PSQL_ENV)

        def ask(sql):
            end = f"end {uuid.uuid4().hex}\n"
            process.stdin.write(f"{sql}\n;\n\\echo {end}")
            process.stdin.flush()
            lines = []
            while (line := process.stdout.readline()) != end:
                assert line, f"psql: {''.join(lines)}"
                lines.append(line)
            return "".join(lines).rstrip("\n")
        try:
            yield ask
        finally:
            process.communicate()

    def psql(self, sql, database="postgres"):
        """Runs SQL as the superuser over the socket; returns the unaligned text of its rows."""
        try:
            return self._ask(sql, database).rstrip("\n")
        except libpq.Refused as e:
            raise AssertionError(f"psql: {e}") from None

    def url(self, database="postgres", user="ferrod", password=None, query=""):
        login = user if password is None else f"{user}:{password}"
        return f"postgres://{login}@127.0.0.1:{self.port}/{database}{'?' + query if query else ''}"

    def create_database(self, name=None):
        """A fresh, empty database; returns its name. One that was dropped before may come back, emptied."""
        if name is None and self.spare:
            return self.spare.pop()
        name = name or f"t_{uuid.uuid4().hex[:12]}"
        self.psql(f'CREATE DATABASE "{name}" TEMPLATE template0')
        return name

    def drop_database(self, name):
        """Making a database costs more than a test: an own one is emptied and kept for the next that needs one."""
        if name.startswith("t_"):
            with contextlib.suppress(libpq.Refused):
                self._ask(EMPTY, name)
                self.spare.append(name)
                return
        self.psql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def backends(self, database):
        """How many client connections the database has."""
        return int(self.psql(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'"))
