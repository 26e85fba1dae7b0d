"""README's first page, walked by somebody who has just got a fresh Debian: from `git clone` to the end of the tour."""
import os
import re
import signal
import subprocess
import time
import traceback

from support import readme
from support.process import free_port, port_is_free
from systems.root import Root

PORT = 8080
SERVES = re.compile(r"^ferrod serves on (\S+)\n  docs and console: (\S+)\n  first request: +([^\n]+)$", re.M)
BUILD_SECONDS = 2400
USER = "walker"


def page(repository):
    """The first page's commands: what root installs, what anybody does then, and how it is run."""
    lines = readme.commands("first").replace("REPOSITORY", repository).splitlines()
    installs = [line for line in lines if line.startswith("apt-get ")]
    runs = [line for line in lines if line.startswith("make run")]
    rest = [line for line in lines if line not in installs and line not in runs]
    assert len(installs) == 1 and len(runs) == 1 and any(line.startswith("git clone ") for line in rest), lines
    return installs[0], "\n".join(rest), runs[0]


class Walk:
    def __init__(self, root, user):
        self.root, self.user = root, user
        self.home = f"/home/{user}" if user else "/root"
        root.make(fresh=True)
        root.lay_repository("/repository.git")
        self.log = root.store / f"{root.release}-first-page.log"
        self.install, self.clone, self.run = page("/repository.git")
        self.port = PORT if port_is_free(PORT) else free_port()
        if self.port != PORT:  # what else the page says of it
            print(f"  port {PORT} of this machine is taken: ARGS", flush=True)
            self.run += f' ARGS="--listen 127.0.0.1:{self.port}"'

    def shell(self, script, **how):
        return self.root.run("bash", "-euc", script, directory=self.home, user=self.user, **how)

    def all(self):
        self.root.run("sh", "-euc", self.install)
        if self.user:
            self.root.run("useradd", "--create-home", "--shell", "/bin/bash", self.user)
            self.root.run("chown", "-R", self.user, "/repository.git")
        self.shell(self.clone)
        if self.user:
            self.without_rights()
        started = time.monotonic()
        server = subprocess.Popen(self.root.command("bash", "-euc", f"cd ferrod && {self.run}", directory=self.home, user=self.user),
                                  stdin=subprocess.DEVNULL, stdout=open(self.log, "wb"), stderr=subprocess.STDOUT, start_new_session=True)
        try:
            url, docs, first = self.wait(server)
            print(f"  serves after {time.monotonic() - started:.0f} s", flush=True)
            assert url == f"http://127.0.0.1:{self.port}"
            assert '"status":"ready"' in self.shell(first).replace(" ", ""), first
            assert "<html" in self.shell(f"curl -fsS {docs}")
            readme.check_tour(self.shell(readme.tour_script(url.replace("127.0.0.1", "localhost"))))
            os.killpg(server.pid, signal.SIGINT)  # Ctrl-C
            server.wait(60)
            assert "Traceback" not in self.text() and '"event":"draining"' in self.text(), self.text()[-3000:]
        finally:
            self.root.stop(server)

    def without_rights(self):
        """Nothing can be installed: one line says what root has to."""
        assert "run make deps" in self.shell("cd ferrod && make build", check=False)
        said = self.shell(f"cd ferrod && {self.run}", check=False)
        command = re.search(r"run as root: (apt-get install [a-z0-9 .+-]+)$", said, re.M)
        assert command, said
        self.root.run("sh", "-euc", command[1].replace("apt-get", "apt-get --yes --quiet --no-install-recommends", 1))

    def wait(self, server):
        deadline = time.monotonic() + BUILD_SECONDS
        while True:
            found = SERVES.search(self.text())
            if found:
                return found.groups()
            assert server.poll() is None, f"make run has ended:\n{self.text()[-6000:]}"
            assert time.monotonic() < deadline, f"serves not:\n{self.text()[-3000:]}"
            time.sleep(0.5)

    def text(self):
        return self.log.read_text(encoding="utf-8", errors="replace")


def run(options):
    passed = failed = 0
    for release in options.release or ["bookworm", "trixie"]:
        for user in (None, USER):
            title = f"{release}, as {user or 'root'}"
            print(title, flush=True)
            root = Root(release, options.roots, "first-page")
            try:
                Walk(root, user).all()
                passed += 1
                print(f"{title}: good", flush=True)
            except Exception:
                failed += 1
                print(f"{title}: bad\n{traceback.format_exc()}", flush=True)
            root.remove()
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0
