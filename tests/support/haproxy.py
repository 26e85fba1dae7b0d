"""HAProxy with the configuration that ferrod ships, before two nodes of a test."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile

from .process import ROOT, Owned, die_with_parent, free_port, wait_for

CONFIG = ROOT / "service/dist/haproxy.cfg"


class Haproxy(Owned):
    @staticmethod
    def available():
        return bool(shutil.which("haproxy")) or os.path.exists("/usr/sbin/haproxy")

    def __init__(self, a, b, config=CONFIG):
        """a, b: ports of the nodes "a" and "b", which may be there later."""
        self.port = free_port()
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ferrod-haproxy-"))
        env = {**os.environ, "HAPROXY_BIND": f"127.0.0.1:{self.port}", "FERROD_A": f"127.0.0.1:{a}", "FERROD_B": f"127.0.0.1:{b}"}
        self.binary = shutil.which("haproxy") or "/usr/sbin/haproxy"
        with open(self.dir / "log", "wb") as log:
            self.process = subprocess.Popen([self.binary, "-db", "-f", str(config)], env=env, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, preexec_fn=die_with_parent(signal.SIGKILL))
        wait_for(self.listens, 10, "HAProxy's start")

    def listens(self):
        assert self.process.poll() is None, self.log()
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def log(self):
        return (self.dir / "log").read_text(errors="replace")
