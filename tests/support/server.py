"""A running ferrod: its own scratch directory, a port of the kernel's choice, its log lines kept."""
import functools
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

from .process import BINARY, die_with_parent, wait_for

SANITIZER = re.compile(r"ERROR: \w+Sanitizer|WARNING: \w+Sanitizer|runtime error:|LeakSanitizer|==\d+== .*definitely lost: [1-9]")
START_SECONDS = 30
STOP_SECONDS = 60


@functools.cache
def sanitized():
    """Does the binary carry a sanitizer?"""
    data = BINARY.read_bytes()
    return b"__asan_init" in data or b"__tsan_init" in data


def patience(seconds):
    """The time that something may take where the test is about what it waits for, not how fast it is."""
    return seconds * 8 if sanitized() else seconds


class Server:
    """Server(args...) starts; with wait=False it returns at once (for processes that shall refuse to start)."""

    def __init__(self, *args, config=None, env=None, listen="127.0.0.1:0", wait=True, binary=BINARY, under=()):
        assert binary.exists(), f"{binary} is not built: make build"
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ferrod-server-"))
        self.log_path = self.dir / "stderr"
        self.port = None
        command = [*under, str(binary)]
        if config is not None:
            path = self.dir / "config.json"
            path.write_text(json.dumps(config), encoding="utf-8")
            command += ["--config", str(path)]
        if listen is not None:
            command += ["--listen", listen]
        command += args
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("FERROD_", "PG"))}
        environment.update(env or {})
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                command, cwd=self.dir, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                preexec_fn=die_with_parent(signal.SIGKILL))
        if wait:
            self._wait_listening()

    def _wait_listening(self):
        wait_for(lambda: self.process.poll() is not None or self.events("listening"), START_SECONDS, "ferrod's start")
        if self.process.poll() is not None:
            raise AssertionError(f"ferrod ended with {self.process.returncode} at start:\n{self.log()}")
        self.port = self.events("listening")[0]["port"]
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_SECONDS)
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
        connection.close()
        assert status == 200, f"/healthz answered {status}:\n{self.log()}"

    def strict_library(self):
        """Is the HTTP library one that refuses by itself most of what is malformed (libmicrohttpd since 1.0)?"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_SECONDS)
        connection.request("GET", "/version")
        version = json.loads(connection.getresponse().read())["libmicrohttpd"]
        connection.close()
        return not version.startswith("0.")

    # ---- its log ----

    def log(self):
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def records(self):
        """The complete JSON lines of the log so far."""
        found = []
        for line in self.log().split("\n")[:-1]:
            if line.startswith("{"):
                found.append(json.loads(line))
        return found

    def events(self, name):
        return [record for record in self.records() if record.get("event") == name]

    def check_log(self):
        text = self.log()
        match = SANITIZER.search(text)
        assert match is None, f"a sanitizer spoke:\n{text[max(match.start() - 500, 0):match.start() + 6000]}"

    # ---- its life ----

    @property
    def alive(self):
        return self.process.poll() is None

    def rss_kib(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        return 0

    def wait(self, seconds=STOP_SECONDS):
        """Waits for its end by itself; returns (exit code, stdout)."""
        out, _ = self.process.communicate(timeout=seconds)
        return self.process.returncode, out.decode("utf-8", "replace")

    def stop(self, sig=signal.SIGTERM):
        """Asks it to end and requires that it does so in good order: exit code 0, nothing leaked."""
        if not self.alive:
            raise AssertionError(f"ferrod had ended with {self.process.returncode}:\n{self.log()[-6000:]}")
        started = time.monotonic()
        self.process.send_signal(sig)
        try:
            code, _ = self.wait()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"ferrod did not end {time.monotonic() - started:.0f} s after {sig!r}:\n"
                                 f"{self.log()[-6000:]}") from None
        self.check_log()
        assert code == 0, f"ferrod ended with {code}:\n{self.log()[-6000:]}"
        self.remove()

    def kill(self):
        if self.alive:
            self.process.kill()
        self.process.wait()
        self.killed = True
        if self.process.stdout:
            self.process.stdout.close()
        self.remove()

    def remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if getattr(self, "killed", False):
            return
        if kind is None:
            self.stop()
        else:
            self.kill()


def stop_soon(servers):
    """All of them in good order, without the time that they give others to notice: a second signal ends that."""
    for server in servers:
        server.process.send_signal(signal.SIGTERM)
    for server in servers:
        wait_for(lambda server=server: server.events("draining") or not server.alive, STOP_SECONDS, "the drain")
    for server in servers:
        server.stop()


def run_binary(*args, env=None, seconds=30, cwd="/", binary=BINARY):
    """Runs the binary to its end: (exit code, stdout, stderr). For --help, --print-routes, refused starts."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("FERROD_", "PG"))}
    environment.update(env or {})
    done = subprocess.run([str(binary), *args], cwd=cwd, env=environment, capture_output=True, text=True, timeout=seconds,
                          check=False, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout, done.stderr
