"""The suites of `make test` on another Debian."""
import os
import pathlib
import shutil

from systems.root import Root

DIRECTORY = "/src"
VERSIONS = ("cat /etc/debian_version; gcc --version | head -1; pkg-config --modversion libmicrohttpd libpq sqlite3; "
            "ls -d /usr/lib/postgresql/*")


def pip_settings(root):
    """How this machine's pip reaches its index: its environment and its file, and whom it trusts."""
    found = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    bundle, config = pathlib.Path(found.get("PIP_CERT") or "/etc/ssl/certs/ca-certificates.crt"), pathlib.Path("/etc/pip.conf")
    if bundle.is_file():
        shutil.copy(bundle, root.tree / "etc/pip-trusts.crt")
        found["PIP_CERT"] = "/etc/pip-trusts.crt"
    if config.is_file():
        shutil.copy(config, root.tree / "etc/pip.conf")
    return found


def run(options):
    """`rest`: arguments of run_tests.py in place of the suites of make test, or `foreign` and its parts."""
    code, env = 0, {name: value for name, value in os.environ.items() if name.startswith("FERROD_")}
    for release in options.release or ["trixie"]:
        root = Root(release, options.roots, "suite").make(options.fresh)
        root.lay_sources(DIRECTORY)
        root.run("sh", "-c", "command -v make > /dev/null || { apt-get update -q && apt-get install -y -q --no-install-recommends make; }")
        foreign = options.rest[:1] == ["foreign"]  # what others made judges that system's build; names of parts may follow
        code = code or root.shown(".ci/deps", "run", "test", "whole", *(["foreign"] if foreign else []), directory=DIRECTORY)
        print(f"{release}: {' '.join(root.run('sh', '-c', VERSIONS).split())}", flush=True)
        if code == 0 and not options.rest:
            code = root.shown("make", "test", directory=DIRECTORY, env=env)
        elif code == 0 and foreign:
            code = root.shown("make", "-j2", "build", directory=DIRECTORY)
            env.update(pip_settings(root))
            only = [word for part in options.rest[1:] for word in ("--only", part)]
            code = code or root.shown("/usr/bin/python3", "-B", "tests/foreign/run.py", "--build", "build/release", *only, directory=DIRECTORY, env=env)
        elif code == 0:
            code = root.shown("make", "-j2", "build", "tests", directory=DIRECTORY)
            code = code or root.shown("/usr/bin/python3", "-B", "tests/support/run_tests.py", "--build", "build/release", *options.rest,
                                      directory=DIRECTORY, env=env)
    return code
