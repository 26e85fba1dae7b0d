"""A PgBouncer of the tests' own, in transaction mode, before a test's PostgreSQL."""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile

from .process import Owned, die_with_parent, free_port, wait_for


BINARY = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"


class PgBouncer(Owned):
    @staticmethod
    def keeps_names():
        """Does it know the setting by which the names of each client are kept apart (1.21 and later; 1.24: by default)?"""
        said = subprocess.run([BINARY, "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
        return tuple(int(n) for n in re.match(r"PgBouncer (\d+)\.(\d+)", said).groups()) >= (1, 21)

    def __init__(self, pg, users=("ferrod",), **settings):
        self.binary = BINARY
        self.pg, self.port = pg, free_port()
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ferrod-pgbouncer-"))
        (self.dir / "users").write_text("".join(f'"{user}" ""\n' for user in users))
        options = {"listen_addr": "127.0.0.1", "listen_port": self.port, "unix_socket_dir": "", "auth_type": "trust",
                   "auth_file": self.dir / "users", "pool_mode": "transaction", "max_client_conn": 500,
                   "default_pool_size": 2, "server_reset_query": "", "admin_users": "ferrod",
                   "logfile": self.dir / "log", "pidfile": self.dir / "pid"} | settings
        (self.dir / "ini").write_text(
            f"[databases]\n* = host=127.0.0.1 port={pg.port}\n[pgbouncer]\n" +
            "".join(f"{key} = {value}\n" for key, value in options.items()))
        if pg.user:
            os.chown(self.dir, pg.user["user"], pg.user["group"])
        self.process = subprocess.Popen([self.binary, "-q", str(self.dir / "ini")], cwd=self.dir,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        preexec_fn=die_with_parent(signal.SIGKILL), start_new_session=True, **pg.user)
        wait_for(self.listens, 20, "PgBouncer's start")

    def listens(self):
        assert self.process.poll() is None, (self.dir / "log").read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def url(self, database, query=""):
        return f"postgres://ferrod@127.0.0.1:{self.port}/{database}{query}"
