"""Builds the Dockerfile for real and calls what comes of it, without a Docker engine; checks compose.yaml and the pair behind HAProxy.

run.py --build build/release [--base DIRECTORY]. Wants root: the base image is made by debootstrap (or is the given tree), the
image by buildah in a chroot, all in a scratch directory that is removed. Mirror and proxy are those of this machine's apt.
Ends with `N passed, N failed, N skipped`.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[2]
KUBERNETES_VALIDATE = "kubernetes-validate==1.37.0"
COMPOSE_GO = "github.com/compose-spec/compose-go/v2/cmd@v2.16.2"
SECONDS = 1500
OVER_BASE_MB = 30
IMAGE = "localhost/ferrod-under-test"
BASE = "localhost/ferrod-test-base"


def run(*command, cwd=ROOT, env=None, check=True):
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("FERROD_")}
    done = subprocess.run([str(part) for part in command], cwd=cwd, env={**inherited, **(env or {})}, capture_output=True, text=True,
                          timeout=SECONDS, check=False, stdin=subprocess.DEVNULL)
    if check:
        assert done.returncode == 0, f"{command[0]} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-6000:]}"
    return done.stdout if check else done


def megabytes(path):
    return int(run("du", "-sxb", path).split()[0]) / 1e6


def readme(mark, secrets):
    """The README's commands; `docker compose exec` runs here, its secrets lie in that directory."""
    from support.compose import commands
    return commands(mark, secrets)


class Image:
    def __init__(self, scratch, base, roots):
        self.scratch, self.base_tree, self.roots = scratch, base, roots
        self.policy = scratch / "policy.json"
        self.policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        self.env = {"BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "vfs"}
        self.container = None
        self.root = None

    def buildah(self, *arguments):
        return run("buildah", "--root", self.scratch / "storage", "--runroot", self.scratch / "run", *arguments, env=self.env).strip()

    def make_base(self):
        """The release that the Dockerfile names, minimal, with this machine's mirror and proxy for apt."""
        from systems.root import apt_settings, unpack
        if self.base_tree is None:
            self.base_tree = self.scratch / "base"
            release = re.search(r"^ARG BASE=debian:([a-z]+)-slim$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.M)[1]
            self.roots.mkdir(parents=True, exist_ok=True)
            unpack(release, self.roots, self.base_tree)
        (self.base_tree / "etc/apt/apt.conf.d/90host").write_text(apt_settings())
        container = self.buildah("from", "scratch")
        self.buildah("copy", "--quiet", container, self.base_tree, "/")
        tree = pathlib.Path(self.buildah("mount", container))
        for part in ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/cache/apt", "var/lib/apt/lists"):  # as in the published slim images
            for path in (tree / part).iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.base_size = megabytes(tree)
        self.buildah("umount", container)
        self.buildah("commit", "--signature-policy", self.policy, "--quiet", "--rm", container, BASE)

    def build(self):
        # --format docker: the OCI format knows no HEALTHCHECK
        self.buildah("build", "--signature-policy", self.policy, "--pull-never", "--format", "docker", "--build-arg", f"BASE={BASE}",
                     "--build-arg", "VERSION=test", "--tag", IMAGE, ROOT)
        self.container = self.buildah("from", "--pull-never", "--signature-policy", self.policy, IMAGE)
        self.root = pathlib.Path(self.buildah("mount", self.container))
        self.config = json.loads(self.buildah("inspect", "--type", "image", IMAGE))["Docker"]["config"]


class Container:
    """The image's program as an engine would run it: its user, environment and directory, the root file system read-only,
    secrets and one volume mounted; only the network is the machine's."""

    numbers = iter(range(1, 100))

    def __init__(self, image, env=None, secrets=None, hosts="", catalog=None, check=None):
        self.image, self.dir = image, image.scratch / f"container-{next(self.numbers)}"
        self.env = dict(pair.split("=", 1) for pair in image.config["Env"])
        self.env.update(env or {})
        self.volume = self.dir / "volume"
        self.volume.mkdir(parents=True)
        inside = (image.root / "var/lib/ferrod").stat()
        os.chown(self.volume, inside.st_uid, inside.st_gid)
        self.volume.chmod(inside.st_mode & 0o777)
        (self.dir / "hosts").write_text(f"127.0.0.1 localhost\n{hosts}")
        self.secrets, self.catalog, self.check = secrets, catalog, check
        self.log = open(self.dir / "log", "wb")
        self.process = None

    def command(self, *arguments):
        root = self.image.root
        mounts = [f"mount --bind {root} {root}", f"mount -o remount,bind,ro {root}", f"mount --rbind /dev {root}/dev",
                  f"mount -t proc proc {root}/proc", f"mount --bind {self.dir}/hosts {root}/etc/hosts",
                  f"mount --bind {self.volume} {root}/var/lib/ferrod", f"mount -t tmpfs -o mode=755 tmpfs {root}/run/secrets"]
        for outside, inside in ((self.secrets, "run/secrets"), (self.catalog, "etc/ferrod/catalog")):
            if outside:
                mounts += [f"mount --bind {outside} {root}/{inside}", f"mount -o remount,bind,ro {root}/{inside}"]
        uid, gid = self.image.config["User"].split(":")
        script = " && ".join(mounts) + f" && exec chroot --userspec={uid}:{gid} --groups= {root} \"$@\""
        return ["unshare", "--mount", "sh", "-c", script, "sh", "env", "-i", "-C", self.image.config["WorkingDir"],
                *(f"{key}={value}" for key, value in self.env.items()), *arguments]

    def exec(self, *arguments):
        return subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)

    def start(self):
        """Until the image's check passes, or that of the compose file."""
        self.process = subprocess.Popen(self.command(*self.image.config["Entrypoint"]), stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 60
        check = self.check or self.image.config["Healthcheck"]["Test"]
        assert check[0] == "CMD", check
        while self.exec(*check[1:]).returncode != 0:
            assert self.process.poll() is None, f"ferrod ended:\n{self.text()}"
            assert time.monotonic() < deadline, f"not healthy after 60 s:\n{self.text()}"
            time.sleep(0.2)
        return self

    def text(self):
        return (self.dir / "log").read_text(encoding="utf-8", errors="replace")

    def stop(self):
        self.process.send_signal(getattr(signal, self.image.config["StopSignal"]))
        assert self.process.wait(60) == 0, self.text()

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Checks:
    def __init__(self, options, scratch):
        self.scratch, self.image = scratch, Image(scratch, options.base, options.roots.resolve())
        self.binary = (ROOT / options.build / "ferrod").resolve()
        from support import compose
        self.services = compose.services()
        self.secrets = scratch / "checkout" / "secrets"

    def client(self, port):
        from support.client import Client
        key = (self.secrets / "admin_key").read_text().strip()
        return Client(port, {"Authorization": f"Bearer {key}"})

    def prepare(self):
        """Secrets, as the service of that name makes them."""
        from support.compose import make_secrets
        self.secrets.mkdir(parents=True)
        make_secrets(self.secrets)

    # ---- what is checked ----

    def check_image(self):
        self.image.make_base()
        started = time.monotonic()
        self.image.build()
        for point in ("run/secrets", "etc/ferrod/catalog"):  # as engines make them
            (self.image.root / point).mkdir(parents=True, exist_ok=True)
        (self.image.root / "etc/hosts").touch()
        whole, base = megabytes(self.image.root), self.image.base_size
        print(f"  image {whole:.0f} MB, {whole - base:+.0f} MB over its base of {base:.0f} MB, built in {time.monotonic() - started:.0f} s")
        assert whole - base < OVER_BASE_MB
        config = self.image.config
        assert config["User"] == "10001:10001" and config["WorkingDir"] == "/var/lib/ferrod" and config["StopSignal"] == "SIGTERM"
        assert list(config["ExposedPorts"]) == ["8080/tcp"] and list(config["Volumes"]) == ["/var/lib/ferrod"]
        assert config["Healthcheck"]["Test"] == ["CMD", "ferrod", "healthcheck"]
        assert {f"org.opencontainers.image.{name}" for name in ("title", "description", "licenses", "version", "revision")} <= set(config["Labels"])
        for tool in ("gcc", "make", "python3"):
            assert not (self.image.root / "usr/bin" / tool).exists(), f"{tool} is in the image"

    def check_container(self):
        """By its own settings: SQLite in the volume, the rest read-only, no key no start, SIGTERM ends it well."""
        keyless = Container(self.image).exec("ferrod")
        assert keyless.returncode != 0 and "key" in keyless.stderr, keyless
        port = free_port()
        env = {"FERROD_LISTEN": f"0.0.0.0:{port}", "FERROD_ADMIN_KEY_FILE": "/run/secrets/admin_key"}
        with Container(self.image, env, self.secrets) as container:
            assert container.exec("touch", "/usr/x", "/x").returncode != 0, "the root file system can be written"
            with self.client(port) as client:
                client.get("/healthz").expect(200)
                client.post("/v1/sql/execute", {"sql": "CREATE TABLE t (n INTEGER)"}).expect(200)
                client.post("/v1/sql/execute", {"sql": "INSERT INTO t VALUES (41)"}).expect(200)
                assert client.post("/v1/sql/fetch-one", {"sql": "SELECT n + 1 AS n FROM t"}).expect(200).json()["row"] == {"n": 42}
                refused = client.post("/v1/connections", {"name": "x", "url": "sqlite:/etc/x.db?mode=rwc"})
                assert refused.status == 403, refused.body
            assert (container.volume / "ferrod.db").stat().st_uid == 10001
            container.stop()
            assert container.exec("ferrod", "healthcheck").returncode != 0

    def check_compose_file(self):
        """By the loader and schema of the Compose specification; and what it sets, ferrod knows."""
        tools = self.scratch / "go"
        run("go", "install", COMPOSE_GO, env={"GOBIN": str(tools), "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod"}, cwd=self.scratch)
        shutil.copy(ROOT / "compose.yaml", self.secrets.parent)
        run(tools / "cmd", self.secrets.parent / "compose.yaml", cwd=self.secrets.parent)
        broken = self.scratch / "broken.yaml"
        broken.write_text((ROOT / "compose.yaml").read_text().replace("depends_on:", "depends_upon:"))
        assert run(tools / "cmd", broken, check=False).returncode != 0, "a wrong file passes"
        known = {row["env"] for row in json.loads(run(self.binary, "--print-settings"))}
        for name in ("ferrod", "ferrod-a", "ferrod-b"):
            assert set(self.services[name]["environment"]) <= known

    def check_kubernetes(self):
        """By the schemas of the Kubernetes API, which know every field."""
        venv = self.scratch / "venv"
        run(sys.executable, "-m", "venv", venv)
        run(venv / "bin/pip", "install", "--quiet", KUBERNETES_VALIDATE)
        judge, path = venv / "bin/kubernetes-validate", ROOT / "service/dist/kubernetes.yaml"
        run(judge, "--strict", path)
        broken = self.scratch / "broken-kubernetes.yaml"
        broken.write_text(path.read_text().replace("serviceName:", "serviceNam:"))
        assert run(judge, "--strict", broken, check=False).returncode != 0, "a wrong file passes"

    def check_secrets(self):
        """The service "secrets" as the image runs it: as root without any of root's rights, the volume alone to write to."""
        service, volume = self.services["secrets"], self.scratch / "made"
        volume.mkdir(mode=0o755)
        root = self.image.root
        script = " && ".join([f"mount --bind {root} {root}", f"mount -o remount,bind,ro {root}", f"mount --rbind /dev {root}/dev",
                              f"mount --bind {volume} {root}/run/secrets", f"mount -t tmpfs tmpfs {root}/tmp",
                              f"exec chroot {root} setpriv --bounding-set=-all --inh-caps=-all --no-new-privs env -C {service['working_dir']} \"$@\""])
        for _ in range(2):   # the second time all is there
            run("unshare", "--mount", "sh", "-euc", script, "sh", *service["entrypoint"], *service["command"])
            made = {path.name: path.read_text() for path in volume.iterdir()}
            assert set(made) == {path.name for path in self.secrets.iterdir()} and all(made.values())
            assert made == getattr(self, "made", made)
            self.made = made
        shutil.rmtree(self.secrets)
        shutil.copytree(volume, self.secrets)

    def check_compose_settings(self):
        """The compose file's ferrod with its environment, catalog and check, PostgreSQL by its name there, the README's calls, nothing before them."""
        from support.pg import Postgres
        postgres = Postgres()
        try:
            password = (self.secrets / "postgres_password").read_text().strip()
            postgres.psql(f"ALTER ROLE guarded PASSWORD '{password}'")
            database = postgres.create_database()
            postgres.psql("GRANT CREATE ON SCHEMA public TO guarded", database)
            url = (self.secrets / "database_url").read_text().strip()
            assert url == f"postgres://ferrod:{password}@postgres/ferrod"
            mounted = self.scratch / "mounted"
            shutil.copytree(self.secrets, mounted)
            # the role that is asked for its password, and the port: all that differs from the file
            (mounted / "database_url").write_text(f"postgres://guarded:{password}@postgres:{postgres.port}/{database}")
            env = dict(self.services["ferrod"]["environment"])
            port = free_port()
            env["FERROD_LISTEN"] = env["FERROD_LISTEN"].replace(":8080", f":{port}")
            with Container(self.image, env, mounted, hosts="127.0.0.1 postgres\n", catalog=ROOT / "catalog",
                           check=self.services["ferrod"]["healthcheck"]["test"]) as container:
                said = run("bash", "-euc", readme("compose", mounted).replace("localhost:8080", f"127.0.0.1:{port}"))
                lines = said.splitlines()
                assert json.loads(lines[1])["rows"] == [{"id": 1, "text": "kept by PostgreSQL"}], said
                assert postgres.psql("SELECT text FROM note", database) == "kept by PostgreSQL"
                assert password not in container.text()
                container.stop()
        finally:
            postgres.destroy()

    def check_pair(self):
        """Two of the image on one state behind HAProxy: ids find their node, and its sessions outlive it."""
        ports = {name: free_port() for name in ("a", "b", "front")}
        from support.pg import Postgres
        postgres = Postgres()
        mounted = self.scratch / "pair"
        shutil.copytree(self.secrets, mounted)
        (mounted / "database_url").write_text(f"postgres://ferrod@127.0.0.1:{postgres.port}/{postgres.create_database()}")
        env = {key: value for key, value in self.services["ferrod-a"]["environment"].items() if key != "FERROD_SQLITE_DIR"}
        proxied = {"HAPROXY_BIND": f"127.0.0.1:{ports['front']}", "FERROD_A": f"127.0.0.1:{ports['a']}", "FERROD_B": f"127.0.0.1:{ports['b']}"}
        assert set(proxied) == set(self.services["haproxy"]["environment"])
        config = ROOT / "service/dist/haproxy.cfg"
        run("haproxy", "-c", "-f", config, env=proxied)
        more = {"catalog": ROOT / "catalog", "check": self.services["ferrod-a"]["healthcheck"]["test"]}
        with Container(self.image, {**env, "FERROD_NODE": "a", "FERROD_LISTEN": f"0.0.0.0:{ports['a']}"}, mounted, **more) as a, \
                Container(self.image, {**env, "FERROD_NODE": "b", "FERROD_LISTEN": f"0.0.0.0:{ports['b']}"}, mounted, **more):
            haproxy = subprocess.Popen(["haproxy", "-db", "-f", str(config)], env={**os.environ, **proxied}, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                self.drive_pair(a, ports)
            finally:
                haproxy.kill()
                haproxy.wait()
        postgres.destroy()

    def drive_pair(self, a, ports):
        from support.process import wait_for
        from support.client import Client
        def ready():
            try:
                with Client(ports["front"]) as client:
                    return client.get("/healthz", validate=False).status == 200
            except OSError:
                return False
        wait_for(ready, 30, "HAProxy")
        def open_session():
            with self.client(ports["front"]) as client:
                return client.post("/v1/sessions").expect(201).header("Ferro-Session")
        def get_session(session):
            with self.client(ports["front"]) as client:
                return client.get("/v1/session", headers={"Ferro-Session": session}, validate=False)
        sessions = [open_session() for _ in range(8)]
        held = {name: [s for s in sessions if s.startswith(f"{name}~")] for name in ("a", "b")}
        assert len(held["a"]) == 4 and len(held["b"]) == 4, "new sessions do not take turns"
        for _ in range(5):
            assert [get_session(s).status for s in sessions] == [200] * 8
        for _ in range(4):
            with self.client(ports["front"]) as client:
                transaction = client.post("/v1/transactions", {}).expect(201).header("Ferro-Transaction")
            for _ in range(3):
                with self.client(ports["front"]) as client:
                    client.post("/v1/sql/fetch-one", {"sql": "SELECT 1 AS n"}, headers={"Ferro-Transaction": transaction}).expect(200)
            with self.client(ports["front"]) as client:
                client.post(f"/v1/transactions/{transaction}/commit").expect(200)
        for key in ("first", "second", "third"):
            replayed = []
            for _ in range(3):
                with self.client(ports["front"]) as client:
                    answer = client.post("/v1/batch", {"steps": [{"op": "sql.execute", "sql": "CREATE TABLE IF NOT EXISTS t (n INTEGER)"}]},
                                         headers={"Idempotency-Key": key}).expect(200)
                    replayed.append(answer.header("Idempotency-Replayed"))
            assert replayed == [None, "true", "true"], replayed
        commands = readme("pair", self.secrets)
        for shown, name in ((8081, "a"), (8082, "b"), (8090, "front")):
            commands = commands.replace(f"localhost:{shown}", f"127.0.0.1:{ports[name]}")
        run("bash", "-euc", commands)
        # one goes: its sessions go on at the other, and new ones open there
        a.stop()
        assert [get_session(s).status for s in sessions] == [200] * 8
        assert [get_session(open_session()).status for _ in range(3)] == [200] * 3

    def all(self):
        os.environ["FERROD_BIN"] = str(self.binary)
        global free_port
        from support.process import free_port
        self.prepare()
        passed = failed = 0
        for check in (self.check_compose_file, self.check_kubernetes, self.check_image, self.check_secrets, self.check_container, self.check_compose_settings, self.check_pair):
            try:
                check()
                passed += 1
                print(f"{check.__name__[6:]}: good", flush=True)
            except Exception:
                failed += 1
                print(f"{check.__name__[6:]}: bad\n{traceback.format_exc()}", flush=True)
                if check == self.check_image:
                    break
        print(f"{passed} passed, {failed} failed, 0 skipped")
        return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--base", type=pathlib.Path, help="a tree that debootstrap has made")
    parser.add_argument("--roots", type=pathlib.Path, default=os.environ.get("ROOTS") or ROOT / "build/roots", help="where what debootstrap makes is kept")
    options = parser.parse_args()
    if os.getuid() != 0:
        print("docker-test: wants root (debootstrap, chroot)", file=sys.stderr)
        return 2
    sys.path.insert(0, str(ROOT / "tests"))
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="ferrod-docker-"))
    scratch.chmod(0o755)
    checks = Checks(options, scratch)
    try:
        return checks.all()
    finally:
        if checks.image.container is not None:
            checks.image.buildah("umount", checks.image.container)
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
